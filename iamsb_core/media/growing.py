"""Bytes of something that is still being written: a pipe until its writer closes it, a file until it stops growing."""

from __future__ import annotations

import os
import select
import stat
import time

from iamsb_core.media.clip import DecodeError

_POLL_SECONDS = 0.05
_HEAD_BYTES = 1 << 16
_BOX_HEAD_BYTES = 16


class GrowingSource:
    """What PyAV reads from, in order, without going back. Raises DecodeError `index-last` at the first read of an MP4
    whose media comes before its index."""

    def __init__(self, descriptor: int, name: str, *, idle_seconds: float) -> None:
        """idle_seconds: a file that has not grown for so long is over; a pipe is over when its writer closes it."""
        self._descriptor, self._name, self._idle_seconds = descriptor, name, idle_seconds
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._head: bytes | None = None
        self.num_bytes = 0
        """given out so far"""
        self.waited_at = time.monotonic()
        """when the reader last had to wait for the writer: until then it had kept up"""

    def read(self, size: int) -> bytes:
        """Up to size bytes, at least one but at the end."""
        if self._head is None:
            self._head = self._checked_head()
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._more(size)
        self.num_bytes += len(data)
        return data

    def _more(self, size: int) -> bytes:
        if not self._is_file:
            if not select.select([self._descriptor], [], [], 0.0)[0]:
                select.select([self._descriptor], [], [])
                self.waited_at = time.monotonic()
            return os.read(self._descriptor, size)
        data, since = os.read(self._descriptor, size), time.monotonic()
        while not data and time.monotonic() - since < self._idle_seconds:
            time.sleep(_POLL_SECONDS)
            data = os.read(self._descriptor, size)
            self.waited_at = time.monotonic()
        return data

    def _checked_head(self) -> bytes:
        """The first bytes, enough to tell whether an MP4's index comes before its media."""
        head = b""
        while (verdict := _index_first(head)) is None and len(head) < _HEAD_BYTES:
            data = self._more(_HEAD_BYTES)
            if not data:
                break
            head += data
        if not head:
            raise DecodeError(f"{self._name} ended before its first byte; is its writer running?", kind="empty")
        if verdict is False:
            message = (
                f"{self._name} is an MP4 with its index at the end, which cannot be read before it is complete; let "
                "its writer make a fragmented MP4 (ffmpeg: -movflags +frag_keyframe+empty_moov), MKV or TS, or run "
                "`iamsb localize` on the finished file"
            )
            raise DecodeError(message, kind="index-last")
        return head


def _index_first(head: bytes) -> bool | None:
    """Whether an MP4's index (`moov`) comes before its media (`mdat`); True for other containers, None: too early.

    Boxes: ISO/IEC 14496-12, a 32-bit size, a type, and a 64-bit size where the first is 1.
    """
    if len(head) < 8:
        return None
    if head[4:8] not in {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp"}:
        return True
    place = 0
    while len(box := head[place : place + _BOX_HEAD_BYTES]) == _BOX_HEAD_BYTES:
        size, kind = int.from_bytes(box[:4]), box[4:8]
        if kind in {b"moov", b"moof"}:
            return True
        if kind == b"mdat" and size != 8:
            return False
        size = int.from_bytes(box[8:16]) if size == 1 else size
        if size < 8:
            return True  # FFmpeg says what is wrong
        place += size
    return None
