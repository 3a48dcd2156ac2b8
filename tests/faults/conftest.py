"""The Prefect server that the tests of whole flows tell, and kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from workers import PrefectServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """One for each file, whose record begins empty."""
    running = PrefectServer(tmp_path_factory.mktemp("prefect"))
    yield running
    running.kill()
