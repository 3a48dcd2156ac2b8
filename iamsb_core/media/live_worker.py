"""The decoding process at a source that is still being written: one pass over its packets, both streams at once, on
the same grids and with the same crops as a finished file's."""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodeError, FrameView
from iamsb_core.media.container import FORMATS, PROTOCOLS, Damage, first_audio, first_video, picture_limit, read_packets
from iamsb_core.media.crop import ViewedCells, view_cells
from iamsb_core.media.growing import GrowingSource
from iamsb_core.media.messages import Inbox, send_message
from iamsb_core.media.probe import upright
from iamsb_core.media.sampling import on_screen
from iamsb_core.media.video import Picture
from iamsb_core.timeline import TimeGrid

_START_SECONDS = 10.0
"""how far one stream may run ahead before the other is taken to have begun no earlier; a fragment holds one first"""
_HOLD_SECONDS = 30.0
"""how far a stream may fall behind the other; then it counts as silent, or as a still picture"""
_ARRIVAL_STEP_SECONDS = 0.1
_SOUND_PIECE_SECONDS = 0.1
_OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": PROTOCOLS,
    "probesize": "1000000",
    "analyzeduration": "1000000",
}


@dataclass(frozen=True, kw_only=True)
class LiveWanted:
    """What to decode, and in what steps."""

    view: FrameView
    idle_seconds: float
    step_seconds: float
    """of a piece of both streams that is handed over, and for which one crop holds"""
    max_pixels: int


class LiveReader:
    """Reads a container from its first packet to its last."""

    def __init__(self, container: InputContainer, source: GrowingSource, name: str, wanted: LiveWanted) -> None:
        self._container, self._source, self._name, self._wanted = container, source, name, wanted
        self._video, self._audio = first_video(container), first_audio(container)
        self.damage = Damage()
        self.warnings: list[str] = []
        self._check()
        self._early: deque[Packet[Any]] = deque()
        self._seen_seconds, self.duration_seconds = 0.0, 0.0
        self._is_over = False
        self._samples: list[NDArray[np.float32]] = []
        self._arrivals: list[tuple[float, float]] = []
        self._caught_up = (time.monotonic(), 0.0)
        self._incoming = read_packets(container, [s for s in (self._video, self._audio) if s is not None], self.damage)
        self._origin_seconds = self._find_origin()
        self._last_picture: Picture | None = None
        self._start_sound()

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the source from its first packets."""
        return {
            "container": self._container.format.name,
            "has_video": self._video is not None,
            "has_audio": self._audio is not None,
            "duration_seconds": 0.0,
        }

    def steps(self) -> Iterator[tuple[ViewedCells | None, NDArray[np.float32]]]:
        """Cells and samples as they become ready; at the end whatever is left of them."""
        yield from self._steps_with_picture() if self._video is not None else self._steps_of_sound()
        if self._audio is not None:
            yield None, self._taken(at_the_end=True)

    def arrivals(self) -> list[tuple[float, float]]:
        """(clip seconds, monotonic seconds): when what lies there was read, since the last call."""
        taken, self._arrivals = self._arrivals, []
        return taken

    def behind_seconds(self) -> float:
        """How much longer than the media itself it took to get here since the reader last waited for the writer."""
        since, there = self._caught_up
        return max(0.0, time.monotonic() - since - (self._seen_seconds - there))

    def _steps_with_picture(self) -> Iterator[tuple[ViewedCells | None, NDArray[np.float32]]]:
        num_cells, view = 0, self._wanted.view
        shown = on_screen(self._pictures(), self._times())  # type: ignore[arg-type]  # read one at a time
        for cells in view_cells(shown, view, window_seconds=self._wanted.step_seconds):
            left = self._num_cells - num_cells if self._is_over else len(cells.frames)
            kept = ViewedCells(cells.frames[:left], cells.boxes[:left], cells.face_found[:left], cells.num_faces)
            num_cells += len(kept.frames)
            yield kept, self._taken()
        if not num_cells:
            raise DecodeError(f"no picture could be decoded from {self._name}; export it again", kind="damaged")

    def _steps_of_sound(self) -> Iterator[tuple[None, NDArray[np.float32]]]:
        ready = 0.0
        for packet in self._packets():
            self._hear(packet)
            if self._seen_seconds - ready >= self._wanted.step_seconds:
                ready = self._seen_seconds
                yield None, self._taken()

    @property
    def _is_mp4(self) -> bool:
        return self._container.format.name.startswith("mov")

    @property
    def _gap_seconds(self) -> float:
        """Between two pictures, as the container tells."""
        return 1 / float((self._video is not None and self._video.average_rate) or 25)

    @property
    def _num_cells(self) -> int:
        return TimeGrid.covering(self.duration_seconds, 1 / self._wanted.view.rate_hz).num_cells

    def _times(self) -> Iterator[float]:
        """Centres of the cells on the container's clock, up to the end, wherever that will be."""
        for cell in itertools.count():
            if self._is_over and cell >= self._num_cells:
                return
            yield self._origin_seconds + (cell + 0.5) / self._wanted.view.rate_hz

    def _pictures(self) -> Iterator[Picture]:
        size: tuple[int, int] | None = None
        last, gap = -np.inf, self._gap_seconds
        for packet in self._packets():
            if packet.stream is self._audio:
                self._hear(packet)
                held = self._origin_seconds + self._seen_seconds - _HOLD_SECONDS
                if self._last_picture is not None and held > last:
                    last = held
                    yield self._last_picture._replace(seconds=held)
                continue
            for frame in self._decoded(packet):
                seconds = frame.time if frame.time is not None else (last + gap if np.isfinite(last) else 0.0)
                if seconds < last:
                    continue
                self._fill_sound(seconds - self._origin_seconds - _HOLD_SECONDS)
                last, size = seconds, size or (frame.width, frame.height)
                self._last_picture = Picture(seconds, partial(upright, frame, size=size))
                yield self._last_picture

    def _hear(self, packet: Packet[Any]) -> None:
        for frame in self._decoded(packet):
            for samples in self._line.lay(frame):
                self._samples += self._resampler.push(samples)

    def _fill_sound(self, seconds: float) -> None:
        if self._audio is not None:
            for samples in self._line.fill(round(seconds * self._line.rate_hz)):
                self._samples += self._resampler.push(samples)

    def _taken(self, *, at_the_end: bool = False) -> NDArray[np.float32]:
        if at_the_end:
            self._fill_sound(self.duration_seconds)
            self._samples.append(self._resampler.finish())
        taken = np.concatenate([np.zeros(0, dtype=np.float32), *self._samples])
        self._samples = []
        return np.asarray(np.clip(np.nan_to_num(taken), -1.0, 1.0), dtype=np.float32)

    def _decoded(self, packet: Packet[Any]) -> Iterator[Any]:
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            self.damage.num_packets += 1

    def _packets(self) -> Iterator[Packet[Any]]:
        while self._early:
            yield self._noted(self._early.popleft())
        for packet in self._incoming:
            yield self._noted(packet)
        self._is_over = True

    def _noted(self, packet: Packet[Any]) -> Packet[Any]:
        """Keep the clock: what the packet says of the end, and when it came."""
        if (start := _shown_at(packet)) is not None:
            default = self._gap_seconds if packet.stream is self._video else 0.0
            end = start + (float((packet.duration or 0) * (packet.time_base or 0)) or default) - self._origin_seconds
            self.duration_seconds = max(self.duration_seconds, end)
            self._seen_seconds = max(self._seen_seconds, start - self._origin_seconds)
            if not self._arrivals or self._seen_seconds - self._arrivals[-1][0] >= _ARRIVAL_STEP_SECONDS:
                self._arrivals.append((self._seen_seconds, time.monotonic()))
            if self._source.waited_at > self._caught_up[0]:
                self._caught_up = (self._source.waited_at, self._seen_seconds)
        return packet

    def _find_origin(self) -> float:
        """The earliest start of both streams by their first packets, once each has begun or the other has run ahead.

        Sound begins no earlier than its header says, as in a finished file; but before a fragment of an MP4 is read to
        its end that is a guess of FFmpeg's.
        """
        wanted = sum(stream is not None for stream in (self._video, self._audio))
        seen: dict[int, float] = {}
        for packet in self._incoming:
            self._early.append(packet)
            if (start := _shown_at(packet)) is None:
                continue
            is_told = self._audio is not None and packet.stream is self._audio and not self._is_mp4
            told = packet.stream.start_time if is_told else None
            if told is not None:
                start = max(start, float(told * (packet.time_base or 0)))
            seen.setdefault(packet.stream_index, start)
            if len(seen) == wanted or start - min(seen.values()) > _START_SECONDS:
                break
        if not seen:
            raise DecodeError(f"{self._name} holds no picture and no sound: no packet could be read", kind="truncated")
        return min(seen.values())

    def _start_sound(self) -> None:
        from iamsb_core.media.audio import SoundLine  # noqa: PLC0415 - torch takes a second; files' pictures need none
        from iamsb_core.media.resampling import Resampler  # noqa: PLC0415

        rate_hz = self._audio.codec_context.sample_rate if self._audio is not None else SAMPLE_RATE_HZ
        self._line = SoundLine(rate_hz, self._origin_seconds)
        piece = max(1, round(_SOUND_PIECE_SECONDS * rate_hz))
        self._resampler = Resampler(rate_hz, SAMPLE_RATE_HZ, piece_samples=piece)

    def _check(self) -> None:
        """Leave out streams that cannot be decoded. Raises DecodeError where none is left, or for too large ones."""
        if self._video is not None and self._video.codec_context is None:
            self._video = None
            self.warnings.append("the picture cannot be decoded: its coding is unknown")
        if self._audio is not None and (self._audio.codec_context is None or not self._audio.codec_context.sample_rate):
            self._audio = None
            self.warnings.append("the sound cannot be decoded: its coding is unknown or its rate is not told")
        if self._video is None and self._audio is None:
            raise DecodeError(f"{self._name} has no picture and no sound that can be decoded", kind="no-streams")
        if self._video is not None:
            width, height = self._video.codec_context.width, self._video.codec_context.height
            if width * height > self._wanted.max_pixels:
                message = f"{self._name} has pictures of {width} x {height}, above the limit; scale it down"
                raise DecodeError(message, kind="too-large")
            self._video.codec_context.options = picture_limit(self._wanted.max_pixels)
            self._video.codec_context.thread_count = 1  # threads would each hold a picture back


def serve_live(channel: socket.socket, inbox: Inbox, request: dict[str, Any], descriptor: int) -> None:
    """Hand over pieces of the source behind a file descriptor until it ends, one ahead of the owner's use of them."""
    wanted = LiveWanted(**{**request["wanted"], "view": FrameView(**request["wanted"]["view"])})
    name, waiting = request["path"], False
    source = GrowingSource(descriptor, name, idle_seconds=wanted.idle_seconds)
    try:
        with _opened(source, name) as container:
            reader = LiveReader(container, source, name, wanted)
            send_message(channel, {"event": "probed", "probe": reader.facts})
            for cells, samples in reader.steps():
                if waiting:
                    _await_use(inbox)
                _send_piece(channel, reader, cells, samples, request["workdir"])
                waiting = True
            if waiting:
                _await_use(inbox)
    finally:
        os.close(descriptor)
    if reader.damage.num_packets:
        reader.warnings.append(f"{reader.damage.num_packets} packets are damaged and were left out")
    outcome = {"duration_seconds": reader.duration_seconds, "warnings": reader.warnings}
    send_message(channel, {"event": "done", "outcome": outcome})


def _send_piece(
    channel: socket.socket,
    reader: LiveReader,
    cells: ViewedCells | None,
    samples: NDArray[np.float32],
    workdir: str | None,
) -> None:
    """Frames, boxes, which have a face, and sound, each in a nameless file."""
    arrays = [samples] if cells is None else [samples, cells.frames, cells.boxes, cells.face_found]
    piece = {
        "event": "piece",
        "num_cells": 0 if cells is None else len(cells.frames),
        "arrivals": reader.arrivals(),
        "behind_seconds": reader.behind_seconds(),
    }
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=workdir)) for _ in arrays]
        for file, values in zip(files, arrays, strict=True):
            file.write(np.ascontiguousarray(values).data)
            file.flush()
            file.seek(0)
        send_message(channel, piece, [file.fileno() for file in files])


def _await_use(inbox: Inbox) -> None:
    while inbox.receive() is None:
        pass


def _opened(source: GrowingSource, name: str) -> InputContainer:
    try:
        return av.open(source, mode="r", container_options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error.__cause__, DecodeError) or isinstance(error.__context__, DecodeError):
            raise (error.__cause__ or error.__context__) from None  # type: ignore[misc]
        message = f"{name} cannot be read while it grows; expected TS, MKV, WebM, fragmented MP4, WAV, ..."
        raise DecodeError(message, kind="not-media") from error


def _shown_at(packet: Packet[Any]) -> float | None:
    """Seconds on the container's clock; None for what is not shown."""
    tick = packet.pts if packet.pts is not None else packet.dts
    if tick is None or packet.size == 0 or packet.is_discard:
        return None
    return float(tick * (packet.time_base or 0))
