"""One decoding process, watched: its time, its memory, and how it died."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

import iamsb_core
from iamsb_core.media.clip import DecodeError
from iamsb_core.media.limits import MediaLimits
from iamsb_core.media.messages import Inbox, send_message

_POLL_SECONDS = 0.05
_START_SECONDS = 120.0
_EXIT_SECONDS = 5.0


class CrashError(DecodeError):
    """The child died by itself.

    accepted: whether it had begun on the request; if not, the file has nothing to do with it.
    """

    def __init__(self, message: str, number: int, accepted: bool) -> None:
        super().__init__(message, kind="crashed")
        self.signal = number
        self.accepted = accepted


class DecodingProcess:
    """One decoding process and the channel to it."""

    LOST = ("crashed", "timeout", "memory")

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._channel, far_channel = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self._stderr = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115  (closed by kill)
        command = [sys.executable, "-P", "-m", "iamsb_core.media.worker", str(far_channel.fileno()), str(lifeline)]
        self.process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            pass_fds=(far_channel.fileno(), lifeline),
            env=_environment(limits.num_threads),
            start_new_session=True,  # Ctrl-C is the owner's business; the lifeline ends the child with it
        )
        far_channel.close()
        os.close(lifeline)
        self._channel.settimeout(_POLL_SECONDS)
        self._inbox = Inbox(self._channel)
        self._await_start()

    def ask(
        self,
        request: dict[str, Any],
        on_piece: Callable[[dict[str, Any], list[int]], None] | None = None,
        files: Sequence[int] = (),
    ) -> tuple[dict[str, Any], list[int]]:
        """The child's last word and the files that came with it; on_piece uses those that come before.

        files: open file descriptors that go with the request.

        Raises DecodeError with what the child found, or with why it is lost.
        """
        self._stderr.truncate(0)
        started = time.monotonic()
        allowed = self._limits.timeout_seconds
        probe: dict[str, Any] = {}
        accepted = False
        with contextlib.suppress(BrokenPipeError):  # it died since the last request: the wait below says how
            send_message(self._channel, request, files)
        while True:
            try:
                reply, received = self._wait(request["path"], started, allowed)
            except EOFError:
                raise self._crash(request["path"], accepted) from None
            if reply["event"] == "accepted":
                accepted = True
            elif reply["event"] == "probed":
                probe = reply["probe"]
                allowed += self._limits.timeout_per_second * probe["duration_seconds"]
            elif reply["event"] == "piece" and on_piece is not None:
                began = time.monotonic()
                on_piece({"probe": probe, **reply}, received)
                send_message(self._channel, {"do": "next"})
                started += time.monotonic() - began  # the child waited
            elif reply["event"] == "error":
                raise DecodeError(reply["message"], kind=reply["kind"])
            else:
                return {"probe": probe, **reply}, received

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        """Memory that the process holds; 0 once it is gone."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def kill(self) -> None:
        """End the process at once and wait for it."""
        self.process.kill()
        self.process.wait()
        self._channel.close()
        os.close(self._lifeline)
        self._stderr.close()

    def _wait(self, path: str, started: float, allowed_seconds: float) -> tuple[dict[str, Any], list[int]]:
        while True:
            if time.monotonic() > started + allowed_seconds:
                message = f"{path} was given up after {allowed_seconds:.1f} s; raise the limit if the file is sound"
                raise DecodeError(message, kind="timeout")
            if (resident := self.resident_bytes()) > self._limits.memory_bytes:
                limit = f"{resident >> 20} MiB of memory, above the limit of {self._limits.memory_bytes >> 20} MiB"
                raise DecodeError(f"decoding {path} took {limit}; raise it or scale the video down", kind="memory")
            if (received := self._inbox.receive()) is not None:
                return received

    def _crash(self, path: str, accepted: bool) -> CrashError:
        try:
            code = self.process.wait(timeout=_EXIT_SECONDS)
        except subprocess.TimeoutExpired:  # it closed the channel and lives on
            self.process.kill()
            code = self.process.wait()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        likely = "the system may be out of memory" if cause == "SIGKILL" else "the file is damaged or hostile"
        return CrashError(f"the decoder died on {path} ({cause}); {likely}", -code, accepted)

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        try:
            while self._inbox.receive() is None:
                if time.monotonic() > deadline:
                    raise EOFError
        except EOFError:
            self._stderr.seek(0)
            said = self._stderr.read()[-2000:].decode(errors="replace")
            self.kill()
            raise RuntimeError(f"the decoding process did not start; run `iamsb doctor`. It said:\n{said}") from None


def _environment(num_threads: int) -> dict[str, str]:
    """The owner's environment, with this very package importable and the thread pools small."""
    root = str(Path(iamsb_core.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(num_threads)}
