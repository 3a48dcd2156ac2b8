"""Servers that tests start on this machine."""

from __future__ import annotations

import socket
import urllib.request


def free_port() -> int:
    """One that nobody listened at just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a server answers there, within five seconds, and not with an error."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
