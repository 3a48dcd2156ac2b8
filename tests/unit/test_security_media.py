"""Files that name other files or addresses: nothing of it is opened, whatever the file calls itself.

The canary is a clip that decodes: were it followed, the playlist would decode too. The listener on loopback counts who
reaches it.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from flows.cli import main
from iamsb_core.media.clip import DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.live import follow
from tasks.media_inputs import find_videos

VIEW = FrameView()


class Listener:
    """A TCP port on loopback, and how many came."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.num_visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            self.num_visits += 1
            visitor.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as found:
        yield found


def write_clip(path: Path, num_frames: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(num_frames):
            picture = np.full((32, 32, 3), number * 20, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "canary.mp4")


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n",
    "hls-key": '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="{place}"\n#EXTINF:1,\n{place}\n',
    "ffconcat": "ffconcat version 1.0\nfile '{place}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1" mimeType="video/mp4"><BaseURL>{place}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{place}\n"
    "m=video 9 RTP/AVP/TCP 96\na=rtpmap:96 H264/90000\n",
    "asx": '<asx version="3.0"><entry><ref href="{place}"/></entry></asx>',
    "rtsp-text": "RTSPtext\n{place}\n",
    "m3u": "{place}\n",
}


def test_the_bait_is_good(canary: Path, tmp_path: Path) -> None:
    """Without our list of formats, FFmpeg reads the file that another one names."""
    playlist = tmp_path / "talk.mp4"
    playlist.write_text("ffconcat version 1.0\nfile 'canary.mp4'\n")
    with av.open(str(playlist)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_no_video(
    kind: str, canary: Path, tmp_path: Path, listener: Listener, decoder: MediaDecoder
) -> None:
    before = listener.num_visits
    addresses = (f"http://127.0.0.1:{listener.port}/x.ts", f"tcp://127.0.0.1:{listener.port}")
    places = (canary.name, canary.as_uri(), str(canary), f"concat:{canary}|{canary}", *addresses)
    for place, name in itertools.product(places, ("talk.mp4", "talk.m3u8", "talk.ts")):
        playlist = tmp_path / name
        playlist.write_text(PLAYLISTS[kind].format(place=place))
        for look in (decoder.probe, lambda path: decoder.decode(path, VIEW, True)):
            with pytest.raises(DecodeError) as refused:
                look(playlist)
            assert refused.value.kind == "not-media"
    assert listener.num_visits == before


@pytest.mark.parametrize("kind", ["hls", "ffconcat", "dash", "sdp"])
def test_a_growing_playlist_is_no_video(kind: str, canary: Path, tmp_path: Path, listener: Listener) -> None:
    before = listener.num_visits
    for place in (str(canary), f"http://127.0.0.1:{listener.port}/x.ts"):
        playlist = tmp_path / "talk.ts"
        playlist.write_text(PLAYLISTS[kind].format(place=place))
        with pytest.raises(DecodeError):
            follow(str(playlist), VIEW, lambda _: None, idle_seconds=0.1)
    assert listener.num_visits == before


def boxes(kind: bytes, *contents: bytes) -> bytes:
    body = b"".join(contents)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_an_mp4_whose_samples_lie_in_another_file_is_not_completed_from_it(
    canary: Path, tmp_path: Path, decoder: MediaDecoder
) -> None:
    """The data reference of the track (ISO/IEC 14496-12, 8.7.2) names the canary; its own samples are cut away."""
    whole = canary.read_bytes()
    place = whole.index(b"dref") - 4
    (size,) = struct.unpack(">I", whole[place : place + 4])
    path = str(canary).encode()
    record = bytearray(150)  # a Macintosh alias (FFmpeg's mov_read_dref): volume name, then typed parts
    record += struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">h", -1)
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + bytes(record)
    data_reference = boxes(b"dref", struct.pack(">II", 0, 1), entry)
    grown = len(data_reference) - size
    forged = bytearray(whole[:place] + data_reference + whole[place + size :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = whole.index(kind) - 4
        (old,) = struct.unpack(">I", whole[at : at + 4])
        forged[at : at + 4] = struct.pack(">I", old + grown)
    samples = whole.index(b"mdat") + 4
    end = samples + struct.unpack(">I", whole[samples - 8 : samples - 4])[0] - 8
    forged[samples:end] = bytes(end - samples)
    (tmp_path / "external.mp4").write_bytes(forged)
    with av.open(str(canary)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    with pytest.raises(DecodeError):
        decoder.decode(tmp_path / "external.mp4", VIEW, False)


ADDRESSES = (
    *("http://127.0.0.1:{port}/a.mp4", "rtsp://127.0.0.1:{port}/a", "tcp://127.0.0.1:{port}", "async:{canary}"),
    *("concat:{canary}|{canary}", "file:{canary}", "subfile,,start,0,end,0,,:{canary}", "data:video/mp4;base64,A="),
)


@pytest.mark.parametrize("given", ADDRESSES)
def test_an_address_is_no_file(given: str, canary: Path, listener: Listener, decoder: MediaDecoder) -> None:
    before = listener.num_visits
    name = given.format(port=listener.port, canary=canary)
    with pytest.raises(ValueError, match=r"is an address, and addresses are not followed|^no file "):
        find_videos([Path(name)])
    with pytest.raises(DecodeError) as refused:
        decoder.probe(Path(name))
    assert refused.value.kind == "missing"
    assert listener.num_visits == before


def test_a_file_may_be_called_like_an_address(
    tmp_path: Path, decoder: MediaDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "plain.mp4").rename("concat:a|b%03d.mp4")
    assert decoder.probe(Path("concat:a|b%03d.mp4")).num_video_frames == 10
    clip = decoder.decode(Path("concat:a|b%03d.mp4"), VIEW, False)
    assert clip.frames is not None
    assert len(clip.frames) == 10


def test_the_command_says_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["localize", "https://example.org/a.mp4", "--model", str(tmp_path)]) == 1
    assert "addresses are not followed; download the file first" in capfd.readouterr().err.replace("\n", " ")
