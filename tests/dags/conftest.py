"""One Prefect server for all flow tests, with a home of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, PREFECT_LOGGING_LEVEL, temporary_settings
from prefect.testing.utilities import prefect_test_harness


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, keep these tests on one: it has the server."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.xdist_group("prefect"))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary server that serves every flow of this process."""
    home = tmp_path_factory.mktemp("prefect-home")
    updates = {PREFECT_HOME: home, PREFECT_LOCAL_STORAGE_PATH: home / "storage", PREFECT_LOGGING_LEVEL: "ERROR"}
    with temporary_settings(updates), prefect_test_harness(server_startup_timeout=600):
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh IAMSB_HOME."""
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
