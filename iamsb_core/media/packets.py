"""When a stream's packets are shown: the container's own clock, edit lists applied, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from iamsb_core.media.container import Damage, read_packets


@dataclass(frozen=True, kw_only=True)
class StreamTimes:
    """When a stream's packets are shown, on the container's clock, edit lists applied."""

    starts_seconds: NDArray[np.float64]
    """(num_packets,) ascending"""
    start_seconds: float
    end_seconds: float
    declared_end_seconds: float | None
    """what the header promises; None where it promises nothing"""


def packet_times(container: InputContainer, streams: Sequence[VideoStream | AudioStream]) -> dict[int, StreamTimes]:
    """The times of each stream (by its index) that has any packet to show."""
    ticks: dict[int, list[tuple[int, int]]] = {stream.index: [] for stream in streams}
    for packet in read_packets(container, streams, Damage()):
        tick = packet.pts if packet.pts is not None else packet.dts
        if tick is not None and _is_shown(packet):
            ticks[packet.stream_index].append((tick, packet.duration or 0))
    from_edit_list = container.format.name.startswith("mov")
    return {s.index: _times(s, ticks[s.index], from_edit_list) for s in streams if ticks[s.index]}


def _is_shown(packet: Packet[Any]) -> bool:
    return packet.size > 0 and not packet.is_discard


def _times(stream: VideoStream | AudioStream, ticks: list[tuple[int, int]], trust_header: bool) -> StreamTimes:
    tick_seconds = float(stream.time_base or 0)
    table = np.asarray(sorted(ticks), dtype=np.float64) * tick_seconds
    starts = table[:, 0]
    durations = np.where(table[:, 1] > 0, table[:, 1], _usual_gap(stream, starts))
    start, end = float(starts[0]), float((starts + durations).max())
    declared = None
    if stream.start_time is not None:
        start = max(start, stream.start_time * tick_seconds) if stream.type == "audio" else start
        if stream.duration is not None:
            declared = (stream.start_time + stream.duration) * tick_seconds
    if trust_header and declared is not None and declared > starts[-1]:
        end = min(end, declared)  # the edit list ends inside the last packet
    return StreamTimes(starts_seconds=starts, start_seconds=start, end_seconds=end, declared_end_seconds=declared)


def _usual_gap(stream: VideoStream | AudioStream, starts: NDArray[np.float64]) -> float:
    if len(starts) > 1:
        return float(np.median(np.diff(starts)))
    return float(1 / stream.average_rate) if isinstance(stream, VideoStream) and stream.average_rate else 0.0
