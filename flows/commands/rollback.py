"""`iamsb rollback`."""

from __future__ import annotations

from typing import Any

from flows.environment import Orchestrator
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from storage.home import Home


def rollback(terminal: Terminal, *, orchestrator: Orchestrator, version: str) -> dict[str, Any]:  # noqa: ARG001
    """Move the alias back and say what it points to now."""
    if version and not version.isdecimal():
        raise UsageError(f"a version is a number, such as 3, got {version!r}")
    from storage.registry import roll_back  # noqa: PLC0415 - imports MLflow

    done = roll_back(Home.current(), version)
    terminal.say(f"{done.alias}: version {done.before} -> version {done.version}")
    if done.earlier:
        terminal.say(f"before that: version {', '.join(done.earlier)}")
    return plain(done)
