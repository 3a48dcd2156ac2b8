"""Fixtures for every kind of test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def media_folder() -> Path:
    """The folder of real clips: IAMSB_TEST_MEDIA, or shared/media beside the checkout."""
    folder = Path(os.environ.get("IAMSB_TEST_MEDIA", PROJECT.parent / "shared" / "media"))
    if not (folder / "CATALOG.csv").is_file():
        pytest.skip(f"no real clips at {folder}; set IAMSB_TEST_MEDIA to the folder that holds CATALOG.csv")
    return folder
