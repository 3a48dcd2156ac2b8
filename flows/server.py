"""A Prefect server that lives as long as one command, apart from the terminal's signals.

Prefect would start one by itself, but in the command's own process group: Ctrl-C then ends the server first, and the
flow waits for minutes to tell it so.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from flows.environment import SERVER_MODULE, Orchestrator
from flows.left_behind import among_commands, call_crashed
from storage.home import Home

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_START_SECONDS = 180.0
_STOP_SECONDS = 5.0
_NUM_TRIES = 3
_WITH_LIFELINE = f"""
import os, runpy, signal, threading, time

def end_with_the_command():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep({_STOP_SECONDS})
    os._exit(1)

threading.Thread(target=end_with_the_command, daemon=True).start()
runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)
"""
"""uvicorn, in a process that ends when its stdin does: a command that is killed cannot stop its server."""


def serve(orchestrator: Orchestrator) -> None:
    """Where no server runs, start one for the rest of this command, named by PREFECT_API_URL.

    To be called before Prefect is imported: it reads the address then, and its own clean-up at exit, which tells the
    server the last news, then runs before ours.
    """
    if orchestrator.api_url is not None or "PREFECT_API_URL" in os.environ:
        return
    with among_commands(Path(os.environ["PREFECT_HOME"])) as is_alone:
        process, url = _started(Home.current().root / "logs" / "prefect-in-process.log")
        atexit.register(_stop, process)
        if is_alone:
            _tell_the_truth(url)
    os.environ["PREFECT_API_URL"] = url


def _tell_the_truth(url: str) -> None:
    """Without it a run that was killed would be shown as running for ever; a record that resists stops nobody."""
    try:
        call_crashed(url)
    except OSError as error:
        log.warning("runs of killed commands may still be shown as running: %s", error)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with process:  # which closes the lifeline too
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _started(log_file: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The process and its address. Another port is tried where somebody was quicker to take the first."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_NUM_TRIES):
        port = _free_port()
        process = _run(port, log_file)
        if _answers(process, f"http://{_HOST}:{port}/api/health"):
            return process, f"http://{_HOST}:{port}/api"
        with process:
            process.kill()
    words = "\n".join(log_file.read_text(errors="replace").splitlines()[-8:])
    raise RuntimeError(f"Prefect's server did not start; the end of {log_file}:\n{words}")


def _run(port: int, log_file: Path) -> subprocess.Popen[bytes]:
    spec = find_spec("prefect")
    assert spec is not None
    assert spec.origin is not None
    command = [sys.executable, "-c", _WITH_LIFELINE, "--app-dir", str(Path(spec.origin).parent)]
    command += ["--factory", SERVER_MODULE]
    command += ["--host", _HOST, "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    marks = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with log_file.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and words
            command,
            env=os.environ | marks,
            stdin=subprocess.PIPE,  # the lifeline: closed when this process ends, however it ends
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server is healthy; False where it ended instead, or took too long."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a loopback address of our own
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False
