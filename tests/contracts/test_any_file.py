"""Any file a user may have: a report with all its exports, or one clear sentence. Never a crash."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest

from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import schema

QUICK_MEGAPIXELS = 40
QUICK_SECONDS = 5.0
"""larger files are examined in the slow test"""
REFUSED = {
    "nasty/empty_0_bytes.webm",
    "nasty/git_lfs_pointer.mp4",
    "nasty/mp4parse_chunk_out_of_range.mp4",
    "nasty/stub_44_bytes.mp4",
    "nasty/text_header_mp4.mp4",
}


@pytest.fixture(scope="module")
def localizer(untrained_model: Path) -> Localizer:
    return Localizer.load(untrained_model, device="cpu")


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as running:
        yield running


def examined(localizer: Localizer, decoder: MediaDecoder, video: Path, out: Path) -> dict | None:
    """The report's document, checked; None for a file that is refused in one sentence."""
    try:
        found = localizer.examine(video, localizer.decode(decoder, video))
    except DecodeError as error:
        sentence = str(error)
        assert str(video) in sentence
        assert "\n" not in sentence
        assert len(sentence) < 200 + len(str(video))
        assert "Error" not in sentence
        return None
    files = found.save(out, exports=["all"])
    data = json.loads(files.json.read_text(encoding="utf-8"))
    jsonschema.validate(data, schema())
    assert files.exports is not None
    assert all(path.is_file() for path in files.exports.values())
    assert files.html.stat().st_size > 10_000
    return data


def catalog(folder: Path) -> dict[str, bool]:
    """Every file, and whether it is small."""
    with (folder / "CATALOG.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    small = {}
    for row in rows:
        seconds, *numbers = (float(row[key] or 0) for key in ("duration_s", "avg_fps", "width", "height"))
        small[row["file"]] = seconds * float(np.prod(numbers)) / 1e6 <= QUICK_MEGAPIXELS and seconds <= QUICK_SECONDS
    assert len(small) == 90
    return small


def refused(localizer: Localizer, decoder: MediaDecoder, folder: Path, names: list[str], out: Path) -> set[str]:
    return {name for name in names if examined(localizer, decoder, folder / name, out / "report") is None}


@pytest.mark.media
def test_small_real_files_give_a_report_or_a_sentence(
    localizer: Localizer, decoder: MediaDecoder, media_folder: Path, tmp_path: Path
):
    names = [name for name, small in catalog(media_folder).items() if small and name.startswith("nasty/")]
    assert len(names) > 15
    assert refused(localizer, decoder, media_folder, names, tmp_path) == REFUSED & set(names)


@pytest.mark.media
@pytest.mark.slow
def test_every_real_file_gives_a_report_or_a_sentence(
    localizer: Localizer, decoder: MediaDecoder, media_folder: Path, tmp_path: Path
):
    assert refused(localizer, decoder, media_folder, list(catalog(media_folder)), tmp_path) == REFUSED


def tone(seconds: float, rate_hz: int, channels: int) -> np.ndarray:
    """(channels, samples) float32: a beeping tone, each channel at its own pitch."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    beep = 0.2 * (np.sin(2 * np.pi * 3 * t) > 0)
    return np.stack([beep * np.sin(2 * np.pi * (220 + 40 * n) * t) for n in range(channels)]).astype(np.float32)


def add_sound(container, codec: str, rate_hz: int, layout: str) -> Callable[[float], None]:
    """A sound stream; call what comes back with the seconds of tone to write."""
    stream = container.add_stream(codec, rate=rate_hz, layout=layout)

    def write(seconds: float) -> None:
        samples = tone(seconds, rate_hz, stream.layout.nb_channels)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        fifo = av.AudioFifo()
        fifo.write(frame)
        resampler = av.AudioResampler(stream.format, layout, rate_hz)
        size = stream.codec_context.frame_size or 1024
        while (piece := fifo.read(size, partial=True)) is not None:
            for converted in resampler.resample(piece):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))

    return write


def add_picture(container, rate: Fraction, width: int, height: int) -> Callable[[int, bool], None]:
    """A picture stream; call what comes back with the number of pictures to write and whether they move."""
    stream = container.add_stream("mpeg4", rate=rate, width=width, height=height, pix_fmt="yuv420p", bit_rate=200_000)

    def write(num_pictures: int, moving: bool) -> None:
        ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)[..., None].repeat(3, axis=2)
        for index in range(num_pictures):
            pixels = np.ascontiguousarray(np.roll(ramp, 3 * index, axis=1)) if moving else np.full_like(ramp, 90)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


def turn(path: Path) -> None:
    """Set the first track's display matrix to a quarter turn (ISO/IEC 14496-12, TrackHeaderBox)."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # after version, times, id, duration, layer, group, volume
    one, zero, minus = (1 << 16).to_bytes(4), bytes(4), (0xFFFF0000).to_bytes(4)
    content[matrix : matrix + 36] = b"".join([zero, one, zero, minus, zero, zero, zero, zero, (1 << 30).to_bytes(4)])
    path.write_bytes(content)


def make_surround(path: Path) -> None:
    with av.open(str(path), "w") as container:
        sound, picture = add_sound(container, "aac", 48_000, "5.1"), add_picture(container, Fraction(25), 64, 48)
        sound(2.0)
        picture(50, True)


def make_two_sounds(path: Path) -> None:
    with av.open(str(path), "w") as container:
        picture = add_picture(container, Fraction(30), 64, 48)
        sounds = [add_sound(container, "aac", rate_hz, "stereo") for rate_hz in (44_100, 16_000)]
        picture(60, True)
        for sound in sounds:
            sound(2.0)


def make_portrait(path: Path) -> None:
    with av.open(str(path), "w") as container:
        add_picture(container, Fraction(30000, 1001), 96, 64)(60, True)
    turn(path)


def make_still(path: Path) -> None:
    with av.open(str(path), "w") as container:
        add_picture(container, Fraction(1), 64, 48)(4, False)


def make_sound_only(path: Path) -> None:
    codec = {".wav": "pcm_s16le", ".mp3": "mp3", ".m4a": "aac"}[path.suffix]
    with av.open(str(path), "w") as container:
        add_sound(container, codec, 44_100, "stereo")(2.0)


@pytest.mark.parametrize(
    ("name", "make", "streams", "said"),
    [
        ("surround.mkv", make_surround, ("sound", "picture"), "no face"),
        ("two_sounds.mp4", make_two_sounds, ("sound", "picture"), "2 sound streams"),
        ("portrait.mp4", make_portrait, ("picture",), "no sound"),
        ("still.mp4", make_still, ("picture",), "never changes"),
        ("only.wav", make_sound_only, ("sound",), "no picture"),
        ("only.mp3", make_sound_only, ("sound",), "no picture"),
        ("only.m4a", make_sound_only, ("sound",), "no picture"),
    ],
)
def test_files_made_here(  # noqa: PLR0917 - four of them are the case
    name: str,
    make: Callable[[Path], None],
    streams: tuple[str, ...],
    said: str,
    localizer: Localizer,
    decoder: MediaDecoder,
    tmp_path: Path,
):
    make(tmp_path / name)
    data = examined(localizer, decoder, tmp_path / name, tmp_path / "out")
    assert data is not None
    found = tuple(word for word, key in (("sound", "audio"), ("picture", "visual")) if data["encoders"][key])
    assert found == streams
    assert any(said in warning.lower() for warning in data["warnings"]), data["warnings"]
    if name == "surround.mkv":
        assert data["media"]["audio"]["num_channels"] == 6
    if name == "portrait.mp4":
        assert data["media"]["video"]["rotation_degrees"] in {90, 270}


class PeakMemory:
    """The most memory of its own that this process held meanwhile, in bytes (mapped files are the system's)."""

    def __enter__(self) -> PeakMemory:
        self.num_bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            (held,) = (line.split()[1] for line in lines if line.startswith("RssAnon"))
            self.num_bytes = max(self.num_bytes, int(held) * 1024)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read as Linux tells it")
def test_an_hour_of_one_picture_is_examined_in_little_memory(
    localizer: Localizer, decoder: MediaDecoder, tmp_path: Path
):
    path = tmp_path / "hour.mkv"
    with av.open(str(path), "w") as container:
        sound, picture = add_sound(container, "aac", 16_000, "mono"), add_picture(container, Fraction(1), 64, 48)
        sound(3600.0)
        picture(3600, False)
    with PeakMemory() as peak:
        data = examined(localizer, decoder, path, tmp_path / "out")
    assert data is not None
    assert data["media"]["duration_seconds"] == pytest.approx(3600.0, abs=2.0)
    assert any("never changes" in warning for warning in data["warnings"])
    assert peak.num_bytes < 3 << 30, "1.6 GiB where it was measured"


def test_the_api_is_light_to_import_and_says_what_is_wrong(untrained_model: Path, tmp_path: Path):
    import iamsb_core  # noqa: PLC0415

    make_sound_only(tmp_path / "only.wav")
    found = iamsb_core.localize(tmp_path / "only.wav", untrained_model, device="cpu")
    assert json.loads(found.to_json())["verdict"]["decision"] == found.decision
    assert set(found.segments) == {"audio", "visual", "fused"}
    assert found.segments["visual"] == ()
    assert found.save(tmp_path / "out").json.read_text(encoding="utf-8") == found.to_json()
    with pytest.raises(ValueError, match="is no model"):
        iamsb_core.localize(tmp_path / "only.wav", tmp_path)
    with pytest.raises(DecodeError, match="does not exist"):
        iamsb_core.localize("nowhere.mp4", untrained_model, device="cpu")
    with pytest.raises(AttributeError, match="no attribute 'localise'"):
        iamsb_core.localise  # noqa: B018
