"""A clock that is set: a service that runs is known all the same."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from flows.environment import is_alive, process_identity


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the clock tells when a process started")
def test_a_clock_that_is_set_hides_no_process(monkeypatch: pytest.MonkeyPatch):
    """What psutil says of a start is the machine's start by the clock and the time since; the clock may be moved."""
    me = process_identity(os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert process_identity(os.getpid()) == me
    assert is_alive(me)
