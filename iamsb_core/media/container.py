"""Opening a media file: local containers only, and a plain reason where a file cannot be opened."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from iamsb_core.media.clip import DecodeError
from iamsb_core.media.limits import MAX_PIXELS

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,wav,w64,aiff,au,"
    "flac,mp3,aac,ac3,eac3,caf,mxf,dv,rm,ivf,h264,hevc,m4v,obu,nut"
)
"""FFmpeg's demuxers that read one local file; playlists (hls, dash, concat, sdp) name other files and are refused"""

PROTOCOLS = "file"
"""what a demuxer may open beside the file it was given, should one of them try: nothing on a network"""
_MAX_FAILED_READS = 20
_PADDING_PIXELS = 1 << 22
"""codings work on blocks: a picture is somewhat larger inside than it is shown"""
_LFS_HEADER = b"version https://git-lfs.github.com/spec/"
_SIGNATURES = (b"\x1aE\xdf\xa3", b"RIFF", b"\x00\x00\x01\xba", b"OggS", b"FLV", b"ID3", b"fLaC")


def check_file(path: Path) -> None:
    """Raises DecodeError (`missing`, `not-media`, `unreadable`, `empty`, `pointer-file`) before FFmpeg is asked."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError(f"{path} is not a file; give the path of a video file", kind="not-media")
        head = _head(path)
    except FileNotFoundError as error:
        message = f"{path} does not exist; check the dataset's root folder and the path in the manifest"
        raise DecodeError(message, kind="missing") from error
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); check its permissions"
        raise DecodeError(message, kind="unreadable") from error
    if status.st_size == 0:
        raise DecodeError(f"{path} is empty (0 bytes); copy or download it again", kind="empty")
    if head.startswith(_LFS_HEADER):
        message = f"{path} is a Git LFS pointer, not the video itself; run `git lfs pull` in its repository"
        raise DecodeError(message, kind="pointer-file")


def open_media(path: Path, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """The open container; close it (`with`). Raises DecodeError (`truncated`, `damaged`, `not-media`).

    max_pixels: a picture that turns out larger, whatever the header says, is damaged to the decoder.
    """
    try:
        options = {"format_whitelist": FORMATS, "protocol_whitelist": PROTOCOLS}
        limit = picture_limit(max_pixels)
        container = av.open(f"file:{path}", options=limit, container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise _refusal(path, error) from error
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = limit
    return container


def picture_limit(max_pixels: int) -> dict[str, str]:
    """FFmpeg's option that keeps decoders from making room for a picture before they know that it is a lie."""
    return {"max_pixels": str(max_pixels + _PADDING_PIXELS)}


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams by index, cover pictures left out."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def first_video(container: InputContainer) -> VideoStream | None:
    """The first video stream by index."""
    return next(iter(video_streams(container)), None)


def first_audio(container: InputContainer) -> AudioStream | None:
    """The first audio stream by index."""
    return next(iter(container.streams.audio), None)


@dataclass
class Damage:
    """What could not be decoded on the way."""

    num_packets: int = 0


def read_packets(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream], damage: Damage
) -> Iterator[Packet[Any]]:
    """The packets of some streams to the last that can be had: a damaged place is counted and stepped over."""
    attempts = 0
    while attempts < _MAX_FAILED_READS:
        try:
            for packet in container.demux(*streams):
                attempts = 0
                yield packet
        except av.error.FFmpegError:
            attempts += 1
            damage.num_packets += 1
        else:
            return


def read_frames(container: InputContainer, stream: VideoStream | AudioStream, damage: Damage) -> Iterator[Any]:
    """Decoded frames of one stream from the first to the last; a damaged packet costs itself and is counted."""
    for packet in read_packets(container, [stream], damage):
        try:
            yield from stream.decode(packet)
        except av.error.FFmpegError:
            damage.num_packets += 1


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _refusal(path: Path, error: Exception) -> DecodeError:
    head = _head(path)
    if head[4:8] == b"ftyp" and not _has_index(path):
        message = f"{path} has no index (moov): it was cut off or its writer never finished; copy or export it again"
        return DecodeError(message, kind="truncated")
    if head[4:8] == b"ftyp" or head.startswith(_SIGNATURES):
        message = f"{path} is damaged: FFmpeg cannot read its header ({_reason(error)}); copy or export it again"
        return DecodeError(message, kind="damaged")
    message = (
        f"{path} is not a video or audio file that FFmpeg knows; expected MP4, MOV, MKV, WebM, AVI, MPEG, WAV, ..."
    )
    return DecodeError(message, kind="not-media")


def _has_index(path: Path) -> bool:
    """Whether an MP4 file's top-level boxes (ISO/IEC 14496-12: 32-bit size, type, 64-bit size if 1) hold a `moov`."""
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            size, kind = int.from_bytes(head[:4]), head[4:8]
            if kind == b"moov":
                return True
            header_bytes = 16 if size == 1 else 8
            size = int.from_bytes(head[8:16]) if size == 1 else size
            if size < header_bytes:
                return False
            file.seek(size - len(head), 1)
    return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
