"""What a file holds and when it is shown: one pass over the packets, one decoded picture, no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from iamsb_core.digest import file_sha256
from iamsb_core.media.clip import DecodeError, MediaProbe
from iamsb_core.media.container import (
    Damage,
    check_file,
    first_audio,
    first_video,
    open_media,
    read_frames,
    video_streams,
)
from iamsb_core.media.limits import MAX_PIXELS
from iamsb_core.media.packets import StreamTimes, packet_times

_CUT_SHORT_SECONDS = 0.25
_NOTICED_OFFSET_SECONDS = 0.1
_LONGEST_TAG = 80
_WRITERS = frozenset(
    ["encoder", "encoding_tool", "software", "writing_application", "handler_name", "make", "model", "comment"]
    + [f"com.apple.quicktime.{name}" for name in ("make", "model", "software")]
    + ["com.android.version", "com.android.manufacturer", "com.android.model"]
)
"""tags in which programs and cameras leave their names"""
_SAYS_NOTHING = frozenset(["VideoHandler", "SoundHandler", "VideoHandle", "SoundHandle", "DataHandler"])


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A probe with what the readers need: the times of the pictures and the first of them."""

    probe: MediaProbe
    video: StreamTimes | None
    """None where there is no picture that can be decoded"""
    audio: StreamTimes | None
    first_picture: NDArray[np.uint8] | None
    """(height, width, 3) RGB, upright"""
    warnings: tuple[str, ...]

    @property
    def origin_seconds(self) -> float:
        """The clip's t = 0 on the container's clock: the earliest start of the chosen streams."""
        return min(times.start_seconds for times in (self.video, self.audio) if times is not None)


def probe(path: Path) -> MediaProbe:
    """What the container says of a file: the first video and the first audio stream by index.

    All packets are read and none decoded, but for the first picture: FFmpeg tells a stream's rotation only there.
    Raises DecodeError: `missing`, `not-media`, `unreadable`, `empty`, `pointer-file`, `truncated`, `damaged`,
    `no-streams`, `unsupported-codec`.
    """
    return scan(path).probe


def scan(path: Path, *, max_pixels: int | None = None) -> Scan:
    """`probe` with the times of every picture. Raises as `probe`, and DecodeError `too-large` above max_pixels."""
    check_file(path)
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    with open_media(path, limit) as container:
        video, audio = first_video(container), first_audio(container)
        _check_streams(path, video, audio, max_pixels)
        times = packet_times(container, [s for s in (video, audio) if s is not None and _decodable(s)])
        facts = _facts(container, video, audio)
        promised_seconds = _promised_seconds(container)
        video_times = times.get(video.index) if video is not None else None
        audio_times = times.get(audio.index) if audio is not None else None
    if video_times is None and audio_times is None:
        raise DecodeError(f"{path} holds no picture and no sound: no packet could be read", kind="truncated")
    first = _first_picture(path, limit) if video_times is not None else None
    found = MediaProbe(
        sha256=file_sha256(path),
        size_bytes=path.stat().st_size,
        duration_seconds=_duration_seconds(path, video_times, audio_times),
        rotation_degrees=clockwise_degrees(first) if first is not None else 0,
        **facts,
        **_timing(video_times, audio_times),
    )
    warnings = _warnings(found, video_times, audio_times)
    if promised_seconds - found.duration_seconds > _CUT_SHORT_SECONDS:
        there = f"the header promises {promised_seconds:.2f} s, {found.duration_seconds:.2f} s are there"
        warnings = (f"the file is cut short: {there}", *warnings)
    picture = upright(first) if first is not None else None
    return Scan(probe=found, video=video_times, audio=audio_times, first_picture=picture, warnings=warnings)


def clockwise_degrees(frame: VideoFrame) -> int:
    """The clockwise turn that a frame's display matrix asks for: 0, 90, 180 or 270."""
    return round(-frame.rotation / 90) * 90 % 360


def upright(frame: VideoFrame, *, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(height, width, 3) RGB as it is to be shown; size is the stored (width, height) to scale to."""
    width, height = size or (frame.width, frame.height)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.rot90(np.asarray(pixels, dtype=np.uint8), -clockwise_degrees(frame) // 90)


def _decodable(stream: VideoStream | AudioStream | None) -> bool:
    return stream is not None and stream.codec_context is not None


def _check_streams(path: Path, video: VideoStream | None, audio: AudioStream | None, max_pixels: int | None) -> None:
    if video is None and audio is None:
        raise DecodeError(f"{path} has neither a video nor an audio stream", kind="no-streams")
    if not _decodable(video) and not _decodable(audio):
        message = f"{path} is coded in a way this FFmpeg cannot decode; convert it to H.264 with AAC"
        raise DecodeError(message, kind="unsupported-codec")
    if video is not None and _decodable(video) and max_pixels is not None:
        width, height = video.codec_context.width, video.codec_context.height
        if width * height > max_pixels:
            message = (
                f"{path} has pictures of {width} x {height}, above the limit of {max_pixels} pixels; scale it down"
            )
            raise DecodeError(message, kind="too-large")


def _first_picture(path: Path, max_pixels: int) -> VideoFrame | None:
    with open_media(path, max_pixels) as container:
        stream = first_video(container)
        return next(read_frames(container, stream, Damage()), None) if stream is not None else None


def _facts(container: InputContainer, video: VideoStream | None, audio: AudioStream | None) -> dict[str, Any]:
    """The fields of MediaProbe that the container's header tells."""
    picture = video.codec_context if video is not None else None
    sound = audio.codec_context if audio is not None else None
    return {
        "container": container.format.name,
        "num_video_streams": len(video_streams(container)),
        "num_audio_streams": len(container.streams.audio),
        "video_codec": picture.codec.canonical_name if picture is not None else None,
        "width": picture.width if picture is not None else 0,
        "height": picture.height if picture is not None else 0,
        "audio_codec": sound.codec.canonical_name if sound is not None else None,
        "sample_rate_hz": sound.sample_rate if sound is not None else 0,
        "num_channels": sound.channels if sound is not None else 0,
        "video_bits_per_second": _stated_rate(container, video),
        "audio_bits_per_second": _stated_rate(container, audio),
        "written_by": _written_by(container, [stream for stream in (video, audio) if stream is not None]),
    }


def _stated_rate(container: InputContainer, stream: VideoStream | AudioStream | None) -> float | None:
    """None too where the header states more than the file holds, as MPEG-1 does for a rate that varies."""
    rate = getattr(stream, "bit_rate", None)  # absent where the coding is not known
    seconds = (container.duration or 0) / av.time_base
    return float(rate) if rate and rate * seconds <= 2.0 * 8 * container.size else None


def _written_by(container: InputContainer, streams: Sequence[VideoStream | AudioStream]) -> str:
    """Each thing that the tags of the container and of its streams say once, in their order, cut to 80 characters."""
    found = [
        str(value).strip()[:_LONGEST_TAG]
        for tags in (container.metadata, *(stream.metadata for stream in streams))
        for name, value in tags.items()
        if name.lower() in _WRITERS
    ]
    return "; ".join(dict.fromkeys(text for text in found if text and text not in _SAYS_NOTHING))


def _promised_seconds(container: InputContainer) -> float:
    """What a Matroska header says of the whole file (its streams say nothing); 0 elsewhere, where it is an estimate."""
    if not container.format.name.startswith("matroska") or container.duration is None:
        return 0.0
    return float(container.duration / av.time_base)


def _timing(video: StreamTimes | None, audio: StreamTimes | None) -> dict[str, Any]:
    """The fields of MediaProbe that the packets tell."""
    return {
        "num_video_frames": len(video.starts_seconds) if video is not None else 0,
        "average_fps": _average_fps(video) if video is not None else 0.0,
        "variable_frame_rate": _is_variable(video) if video is not None else False,
        "video_start_seconds": video.start_seconds if video is not None else 0.0,
        "audio_start_seconds": audio.start_seconds if audio is not None else 0.0,
    }


def _duration_seconds(path: Path, *streams: StreamTimes | None) -> float:
    chosen = [times for times in streams if times is not None]
    duration = max(times.end_seconds for times in chosen) - min(times.start_seconds for times in chosen)
    if not 0 < duration < math.inf:
        raise DecodeError(f"{path} lasts {duration} s by its own clock; export it again", kind="damaged")
    return duration


def _average_fps(video: StreamTimes) -> float:
    seconds = video.end_seconds - video.start_seconds
    return len(video.starts_seconds) / seconds if seconds > 0 else 0.0


def _is_variable(video: StreamTimes) -> bool:
    """Whether the gaps between pictures differ by more than a fifth, rounding to milliseconds aside."""
    gaps = np.diff(video.starts_seconds)
    return len(gaps) > 1 and float(gaps.max() - gaps.min()) > max(0.002, 0.2 * float(np.median(gaps)))


def _warnings(found: MediaProbe, video: StreamTimes | None, audio: StreamTimes | None) -> tuple[str, ...]:
    warnings = []
    for word, count, times in (("picture", found.num_video_streams, video), ("sound", found.num_audio_streams, audio)):
        if count == 0:
            warnings.append(f"the file has no {word}")
        elif times is None:
            warnings.append(f"the {word} cannot be decoded: its coding is unknown or it holds no packets")
        if count > 1:
            warnings.append(f"the file has {count} {word} streams; the first was used")
        declared = times.declared_end_seconds if times is not None else None
        if times is not None and declared is not None and declared - times.end_seconds > _CUT_SHORT_SECONDS:
            promised, there = declared - times.start_seconds, times.end_seconds - times.start_seconds
            warnings.append(f"the {word} is cut short: the header promises {promised:.2f} s, {there:.2f} s are there")
    if video is not None and audio is not None:
        warnings += _offsets(video, audio)
    return tuple(warnings)


def _offsets(video: StreamTimes, audio: StreamTimes) -> list[str]:
    """What the streams do not share, where it is long enough to matter to a localiser."""
    warnings = []
    late, early = audio.start_seconds - video.start_seconds, video.end_seconds - audio.end_seconds
    for seconds, positive, negative in (
        (late, "the sound starts {:.2f} s after the picture", "the picture starts {:.2f} s after the sound"),
        (early, "the sound ends {:.2f} s before the picture", "the picture ends {:.2f} s before the sound"),
    ):
        if abs(seconds) >= _NOTICED_OFFSET_SECONDS:
            warnings.append((positive if seconds > 0 else negative).format(abs(seconds)))
    return warnings
