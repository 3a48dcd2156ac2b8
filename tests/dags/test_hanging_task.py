"""A training that hangs is ended by its limit, and its run says so."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prefect import flow

from tasks import models

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


class Hangs:
    """In place of a job: the first look at it never ends."""

    system = "iamsb"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Prefect asks of any parameter
            raise AttributeError(name)
        time.sleep(600)


@flow(validate_parameters=False)
def training() -> None:
    models.train_system.with_options(timeout_seconds=0.5, retries=0)(Hangs())


def test_a_training_that_hangs_ends_with_its_limit():
    began = time.monotonic()
    state = training(return_state=True)
    assert time.monotonic() - began < 300
    assert state.is_failed()
    assert state.name == "TimedOut"
    assert "timed out after 0.5 second" in state.message
