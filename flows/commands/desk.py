"""`iamsb desk`."""

from __future__ import annotations

import contextlib
import getpass
import socket
import webbrowser
from collections.abc import Sequence
from typing import Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.services import HOST, free_port
from flows.terminal import Terminal
from storage.home import Home

USUAL_PORT = 8787
_STOP_SECONDS = 2


def desk(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    port: int | None,
    models: Sequence[str],
    analyst: str,
    max_upload_gib: float,
    open_browser: bool,
    device: str,
) -> dict[str, Any]:
    """Serve the desk on loopback until it is interrupted."""
    with _listener(port) as listener:
        serve(orchestrator)
        import uvicorn  # noqa: PLC0415 - nothing else of ours serves

        from flows.desk.app import application  # noqa: PLC0415 - imports Prefect
        from flows.desk.desk import Desk  # noqa: PLC0415
        from tasks.policy import resolve_device  # noqa: PLC0415

        opened = Desk(
            Home.current(),
            models=models,
            device=resolve_device(device),
            most_bytes=round(max_upload_gib * 2**30),
            analyst=analyst or _account(),
        )
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        config = uvicorn.Config(
            application(opened),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        terminal.say(f"desk  {address}  (Ctrl-C closes it)")
        if open_browser:
            webbrowser.open(address)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            opened.examiner.close()
    return {"address": address}


def _listener(port: int | None) -> socket.socket:
    """A socket on loopback. Raises ValueError where the wanted port is taken."""
    wanted = port if port == 0 else free_port(port, USUAL_PORT, "the desk", "--port")
    try:
        return socket.create_server((HOST, wanted))
    except OSError as error:
        raise ValueError(f"port {wanted} was taken by another program just now ({error}); try again") from None


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return ""
