"""One Prefect server and one tiny dataset for all flow tests, with a home of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, PREFECT_LOGGING_LEVEL, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from iamsb_core.forgery.config import ForgeConfig, SyntheticConfig
from iamsb_core.forgery.forge import forge


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


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 drawn clips of 2.5 s, forged, in LAV-DF's layout."""
    config = ForgeConfig(
        num_clips=(6, 3, 3),
        people_shares=(1.0, 1.0, 1.0),
        clip_seconds=(2.4, 2.6),
        segment_seconds=(0.2, 1.0),
        synthetic=SyntheticConfig(num_people=3, seconds_per_person=4.0),
    )
    return forge(None, tmp_path_factory.mktemp("dataset") / "tiny", config, num_workers=1).out


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh IAMSB_HOME."""
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
