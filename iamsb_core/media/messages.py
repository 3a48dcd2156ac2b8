"""What the decoding process and its owner say to each other: JSON with a length before it, and open files beside it.

JSON and not pickle: the process reads hostile files, and what it says must not be able to run.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

_LENGTH_BYTES = 4
_MAX_FILES = 8


def send_message(channel: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send a message; files are open file descriptors, of which the receiver gets copies."""
    body = json.dumps([len(files), message]).encode()
    head = len(body).to_bytes(_LENGTH_BYTES)
    if files:
        socket.send_fds(channel, [head], list(files))
    else:
        channel.sendall(head)
    channel.sendall(body)


class Inbox:
    """Messages as they arrive, whatever pieces they arrive in."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._bytes = b""
        self._files: list[int] = []

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and its files; None where the channel's timeout passes first.

        Raises EOFError once the other side is gone.
        """
        while not self._is_complete():
            try:
                data, files, _, _ = socket.recv_fds(self._channel, 1 << 16, _MAX_FILES)
            except TimeoutError:
                return None
            except ConnectionResetError as error:
                raise EOFError from error
            self._files += files
            if not data:
                raise EOFError
            self._bytes += data
        end = _LENGTH_BYTES + self._length()
        body, self._bytes = self._bytes[_LENGTH_BYTES:end], self._bytes[end:]
        num_files, message = json.loads(body)  # the files may have come with bytes of the message before
        files, self._files = self._files[:num_files], self._files[num_files:]
        return message, files

    def _length(self) -> int:
        return int.from_bytes(self._bytes[:_LENGTH_BYTES])

    def _is_complete(self) -> bool:
        return len(self._bytes) >= _LENGTH_BYTES and len(self._bytes) >= _LENGTH_BYTES + self._length()
