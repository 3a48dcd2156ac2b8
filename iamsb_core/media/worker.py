"""The decoding process: answers one request after another until its owner is gone.

Started as `python -m iamsb_core.media.worker CHANNEL LIFELINE`: two file descriptors, a socket to talk over and a pipe
that its owner holds open and never writes to.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import av

from iamsb_core.media.clip import DecodeError, FrameView
from iamsb_core.media.decode import ClipFiles, Wanted, check_limits, decode_clip
from iamsb_core.media.limits import MediaLimits
from iamsb_core.media.live_worker import serve_live
from iamsb_core.media.messages import Inbox, send_message
from iamsb_core.media.pieces import Piece, PieceFiles, PieceSize
from iamsb_core.media.probe import scan


def main() -> None:
    """Serve until the owner closes the channel."""
    channel_fd, lifeline = (int(text) for text in sys.argv[1:])
    die_with(lifeline)
    av.logging.set_level(None)
    with socket.socket(fileno=channel_fd) as channel:
        inbox = Inbox(channel)
        send_message(channel, {"event": "ready"})
        while True:
            try:
                received = inbox.receive()
            except EOFError:
                return
            if received is not None:
                send_message(channel, {"event": "accepted"})
                _answer(channel, inbox, *received)


def die_with(lifeline: int) -> None:
    """End this process as soon as the other end of the pipe is closed, even while native code holds everything up.

    Linux sends the signal itself (stopped and hung processes die too); a thread does it elsewhere.
    """
    threading.Thread(target=_exit_at_end_of, args=(lifeline,), daemon=True).start()
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _exit_at_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def _answer(channel: socket.socket, inbox: Inbox, request: dict[str, Any], files: list[int]) -> None:
    try:
        if request["do"] == "follow":
            serve_live(channel, inbox, request, files[0])
        else:
            _serve(channel, inbox, request)
    except DecodeError as error:
        send_message(channel, {"event": "error", "kind": error.kind, "message": str(error)})
    except MemoryError:
        message = f"{request['path']} needs more memory than there is; scale it down or cut it"
        send_message(channel, {"event": "error", "kind": "memory", "message": message})
    except Exception as error:
        message = f"{request['path']} could not be decoded: {type(error).__name__}: {error}"
        send_message(channel, {"event": "error", "kind": "failed", "message": message})


def _serve(channel: socket.socket, inbox: Inbox, request: dict[str, Any]) -> None:
    limits = MediaLimits(**request["limits"])
    path = Path(request["path"])
    found = scan(path, max_pixels=limits.max_pixels)
    if request["do"] == "probe":
        send_message(channel, {"event": "done", "probe": asdict(found.probe)})
        return
    size = PieceSize(**request["pieces"]) if request.get("pieces") is not None else None
    check_limits(path, found, limits, in_pieces=size is not None)
    send_message(channel, {"event": "probed", "probe": asdict(found.probe)})
    view = FrameView(**request["view"]) if request["view"] is not None else None
    wanted = Wanted(
        view=view,
        audio=request["audio"],
        decord=request["decord"],
        num_threads=limits.num_threads,
        max_pixels=limits.max_pixels,
        pieces=size,
    )

    def hand_over(place: Piece, files: Sequence[BinaryIO]) -> None:
        send_message(channel, {"event": "piece", "place": asdict(place)}, [file.fileno() for file in files])
        while inbox.receive() is None:
            pass

    def pieces(cut: PieceSize, num_cells: int) -> PieceFiles:
        return PieceFiles(cut, num_cells, request["workdir"], hand_over)

    with ExitStack() as stack:
        opened = [stack.enter_context(tempfile.TemporaryFile(dir=request["workdir"])) for _ in range(4)]
        outcome = decode_clip(path, found, wanted, ClipFiles(*opened), pieces)
        for file in opened:
            file.flush()
            file.seek(0)  # the owner's copies share the position
        send_message(channel, {"event": "done", "outcome": asdict(outcome)}, [file.fileno() for file in opened])


if __name__ == "__main__":
    main()
