"""Hand-made clips through the whole decoder: the picture's number painted as a grey level, a click at a known time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from iamsb_core.media.audio import _mono
from iamsb_core.media.clip import DecodedClip, FrameView
from iamsb_core.media.container import Damage
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.probe import Scan, scan
from iamsb_core.media.video import Picture, ReaderDisagreesError, decord_pictures, pyav_pictures

VIEW = FrameView(size_pixels=32, crop="centre")
GREY_STEP = 3


def write_clip(
    path: Path,
    *,
    times: Sequence[Fraction | float] = (),
    pictures: Sequence[np.ndarray] | None = None,
    last_seconds: Fraction | float = Fraction(1, 25),
    sound: np.ndarray | None = None,
    rate_hz: int = 16_000,
    layout: str = "mono",
    sound_at: Sequence[tuple[float, int, int]] | None = None,
    rotation: int = 0,
) -> Path:
    """H.264 pictures that come on at these times and PCM sound, (channels, samples), in parts (start, first, last)."""
    with av.open(str(path), "w") as container:
        if times:
            height, width = (64, 64) if pictures is None else pictures[0].shape[:2]
            video = container.add_stream("libx264", rate=25, options={"crf": "10", "bf": "0", "g": "12"})
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.codec_context.time_base = video.time_base = Fraction(1, 90_000)
            if rotation:
                video.set_display_rotation(rotation)
        if sound is not None:
            audio = container.add_stream("pcm_s16le", rate=rate_hz, layout=layout)
        if times:
            _write_pictures(container, video, times, pictures, last_seconds)
        if sound is not None:
            _write_sound(container, audio, sound, sound_at or [(0.0, 0, sound.shape[1])])
    return path


def _write_pictures(container, stream, times, pictures, last_seconds) -> None:
    ticks = [round(Fraction(time) * 90_000) for time in times]
    lasting = dict(zip(ticks, np.diff([*ticks, ticks[-1] + round(last_seconds * 90_000)]).tolist(), strict=True))
    packets = []
    for number, tick in enumerate(ticks):
        grey = np.full((64, 64, 3), 10 + GREY_STEP * number, dtype=np.uint8)
        pixels = grey if pictures is None else pictures[number]
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = tick, Fraction(1, 90_000)
        packets += stream.encode(frame)
    for packet in [*packets, *stream.encode(None)]:
        packet.duration = lasting[packet.pts]
        container.mux(packet)


def _write_sound(container, stream, sound, parts) -> None:
    rate_hz = stream.rate
    coded = np.clip(sound * 32767, -32768, 32767).astype(np.int16)
    for start, first, last in parts:
        interleaved = np.ascontiguousarray(coded[:, first:last].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=stream.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, round(start * rate_hz), Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def number_of(pixels: np.ndarray) -> int:
    return round((float(pixels.mean()) - 10) / GREY_STEP)


def numbers(clip: DecodedClip) -> list[int]:
    assert clip.frames is not None
    return [number_of(pixels) for pixels in clip.frames]


def expected(times: Sequence[float], num_cells: int) -> list[int]:
    """Number of the last picture on at the centre of each 40 ms cell; the first picture comes on at t = times[0]."""
    return [max(sum(time <= cell * 0.04 + 0.02 + 1e-9 for time in times) - 1, 0) for cell in range(num_cells)]


def click(at_seconds: float, *, rate_hz: int = 16_000, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    sound = np.zeros((channels, round(seconds * rate_hz)), dtype=np.float32)
    sound[:, round(at_seconds * rate_hz)] = 0.9
    return sound


def heard_at(clip: DecodedClip) -> float:
    assert clip.waveform is not None
    return int(np.abs(clip.waveform).argmax()) / 16_000


def numbers_read(pictures: Iterator[Picture]) -> list[int]:
    return [number_of(picture.rgb()) for picture in pictures]


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as running:
        yield running


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(15), Fraction(20), Fraction(30_000, 1001), Fraction(60)])
def test_every_rate_lands_on_the_grid_by_time(fps: Fraction, tmp_path: Path, decoder: MediaDecoder) -> None:
    times = [number / fps for number in range(round(fps))]
    clip = decoder.decode(write_clip(tmp_path / "clip.mp4", times=times, last_seconds=1 / fps), VIEW)
    assert clip.duration_seconds == pytest.approx(float(round(fps) / fps), abs=1e-4)
    assert clip.frame_grid is not None
    assert clip.frame_grid.num_cells == 25
    assert numbers(clip) == expected([float(time) for time in times], 25)
    assert clip.probe.average_fps == pytest.approx(float(fps), rel=1e-3)
    assert not clip.probe.variable_frame_rate


def test_a_variable_rate_lands_on_the_grid_by_time(tmp_path: Path, decoder: MediaDecoder) -> None:
    times = [0.0, 0.04, 0.30, 0.31, 0.50, 0.90]
    clip = decoder.decode(write_clip(tmp_path / "clip.mp4", times=times, last_seconds=0.1), VIEW)
    # centres .02 | .06 ... .26 .30 | .34 ... .46 .50 | .54 ... .86 .90 | .94 .98
    assert numbers(clip) == [0] + [1] * 6 + [2] + [3] * 4 + [4] * 10 + [5] * 3
    assert clip.probe.variable_frame_rate


def test_both_readers_read_the_same(tmp_path: Path) -> None:
    times = [number / 30 for number in range(40)]
    path = write_clip(tmp_path / "clip.mp4", times=times, last_seconds=1 / 30)
    found = scan(path)
    by_decord, by_pyav = list(decord_pictures(path, found)), list(pyav_pictures(path, Damage()))
    assert numbers_read(iter(by_decord)) == numbers_read(iter(by_pyav)) == list(range(40))
    assert [p.seconds for p in by_decord] == pytest.approx([p.seconds for p in by_pyav])
    for one, other in zip(by_decord, by_pyav, strict=True):
        np.testing.assert_array_equal(one.rgb(), other.rgb())


@pytest.mark.parametrize("late", [0.2, 0.52])
def test_a_late_picture_waits_for_the_sound(late: float, tmp_path: Path, decoder: MediaDecoder) -> None:
    times = [late + number * 0.04 for number in range(20)]
    path = write_clip(tmp_path / "clip.mkv", times=times, sound=click(0.7, seconds=1.4))
    clip = decoder.decode(path, VIEW)
    assert heard_at(clip) == pytest.approx(0.7, abs=1e-3)
    assert numbers(clip) == expected(times, 35)
    assert f"the picture starts {late:.2f} s after the sound" in clip.warnings


def test_a_late_sound_waits_for_the_picture(tmp_path: Path, decoder: MediaDecoder) -> None:
    times = [number * 0.04 for number in range(25)]
    sound_at = [(0.3, 0, 8000)]
    path = write_clip(tmp_path / "clip.mkv", times=times, sound=click(0.1, seconds=0.5), sound_at=sound_at)
    clip = decoder.decode(path, VIEW)
    assert heard_at(clip) == pytest.approx(0.4, abs=1e-3)
    assert clip.waveform is not None
    assert clip.waveform.shape == (16_000,)
    assert not clip.waveform[:4700].any()
    assert "the sound starts 0.30 s after the picture" in clip.warnings
    assert "the sound ends 0.20 s before the picture" in clip.warnings


def test_the_clip_starts_where_its_first_stream_starts(tmp_path: Path, decoder: MediaDecoder) -> None:
    times = [5.4 + number * 0.04 for number in range(10)]
    path = write_clip(tmp_path / "clip.mkv", times=times, sound=click(0.3, seconds=0.8), sound_at=[(5.0, 0, 12_800)])
    clip = decoder.decode(path, VIEW)
    assert clip.duration_seconds == pytest.approx(0.8, abs=2e-3)
    assert heard_at(clip) == pytest.approx(0.3, abs=1e-3)
    assert numbers(clip) == expected([time - 5.0 for time in times], 20)


def test_a_hole_in_the_sound_is_silence(tmp_path: Path, decoder: MediaDecoder) -> None:
    sound = np.full((1, 16_000), 0.5, dtype=np.float32)
    path = write_clip(tmp_path / "clip.mkv", sound=sound, sound_at=[(0.0, 0, 8000), (0.75, 8000, 16_000)])
    clip = decoder.decode(path, VIEW)
    assert clip.waveform is not None
    assert clip.waveform.shape == (20_000,)
    assert clip.waveform[:8000] == pytest.approx(0.5, abs=1e-3)
    assert not clip.waveform[8020:11_980].any()
    assert clip.waveform[12_020:] == pytest.approx(0.5, abs=1e-3)
    assert any("1 gaps, 0.25 s" in warning for warning in clip.warnings)


def test_five_channels_become_their_mean(tmp_path: Path, decoder: MediaDecoder) -> None:
    sound = np.repeat(np.asarray([[0.6], [0.0], [0.3], [0.0], [0.0], [0.0]], dtype=np.float32), 16_000, axis=1)
    clip = decoder.decode(write_clip(tmp_path / "clip.mkv", sound=sound, layout="5.1"), None)
    assert clip.waveform is not None
    assert clip.waveform == pytest.approx(0.15, abs=1e-3)
    assert clip.probe.num_channels == 6


def test_more_channels_than_a_frame_lists_do_not_crash() -> None:
    # 18 planes: PyAV's own to_ndarray ends in a segmentation fault
    interleaved = np.full((1, 18 * 100), 9000, dtype=np.int16)
    frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="18 channels")
    frame.sample_rate = 16_000
    (planar,) = av.AudioResampler(format="fltp").resample(frame)
    assert planar.format.is_planar
    assert _mono(planar, 16_000) == pytest.approx(np.full(100, 9000 / 32_768), abs=1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000])
def test_a_click_stays_in_its_place_at_every_rate(rate_hz: int, tmp_path: Path, decoder: MediaDecoder) -> None:
    sound = click(0.7125, rate_hz=rate_hz, seconds=1.0)
    clip = decoder.decode(write_clip(tmp_path / "clip.mkv", sound=sound, rate_hz=rate_hz), None)
    assert heard_at(clip) == pytest.approx(0.7125, abs=1 / 8000)


@pytest.mark.parametrize(
    ("display", "clockwise", "bright"), [(-90, 90, "top"), (90, 270, "bottom"), (180, 180, "right")]
)
def test_rotation_flags_are_applied(
    display: int, clockwise: int, bright: str, tmp_path: Path, decoder: MediaDecoder
) -> None:
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:, :48] = 255  # the left half
    path = tmp_path / "clip.mp4"
    write_clip(path, times=[0.0, 0.04, 0.08], pictures=[picture, picture // 2 * 2, picture // 3 * 3], rotation=display)
    clip = decoder.decode(path, FrameView(size_pixels=32, crop="centre"))
    assert clip.probe.rotation_degrees == clockwise
    assert clip.frames is not None
    assert clip.frame_boxes is not None
    halves = {"top": np.s_[:15], "bottom": np.s_[17:], "right": np.s_[:, 17:]}
    assert clip.frames[0][halves[bright]].mean() > 230
    assert clip.frames[0].mean() == pytest.approx(127, abs=12)
    if clockwise != 180:  # upright it is 64 wide and 96 high
        assert clip.frame_boxes[0].tolist() == [0, 16, 64, 80]


def test_a_stream_that_is_not_there_is_none(tmp_path: Path, decoder: MediaDecoder) -> None:
    mute = decoder.decode(write_clip(tmp_path / "mute.mp4", times=[0.0, 0.04, 0.08]), VIEW)
    assert (mute.waveform, mute.reader) == (None, "decord")
    assert "the file has no sound" in mute.warnings
    blind = decoder.decode(write_clip(tmp_path / "blind.wav", sound=click(0.5)), VIEW)
    assert (blind.frames, blind.frame_boxes, blind.face_found, blind.frame_grid) == (None, None, None, None)
    assert blind.reader == "none"
    assert "the file has no picture" in blind.warnings


def test_what_is_not_asked_for_is_not_decoded(tmp_path: Path, decoder: MediaDecoder) -> None:
    path = write_clip(tmp_path / "clip.mkv", times=[0.0, 0.04], sound=click(0.05, seconds=0.1))
    only_pictures = decoder.decode(path, VIEW, audio=False)
    assert (only_pictures.waveform, only_pictures.frames is None) == (None, False)
    only_sound = decoder.decode(path, None)
    assert (only_sound.waveform is None, only_sound.frames) == (False, None)


def test_silence_and_slow_pictures_are_said(tmp_path: Path, decoder: MediaDecoder) -> None:
    path = write_clip(
        tmp_path / "clip.mkv", times=[0.0, 0.5], last_seconds=0.5, sound=np.zeros((1, 16_000), np.float32)
    )
    warnings = decoder.decode(path, VIEW).warnings
    assert "the sound is silent from beginning to end" in warnings
    assert any("2.0 pictures a second" in warning for warning in warnings)


def test_arrays_can_be_written_to_and_outlive_the_decoder(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", times=[0.0, 0.04], sound=click(0.05, seconds=0.1))
    with MediaDecoder(workdir=tmp_path) as decoder:
        clip = decoder.decode(path, VIEW)
    assert sorted(tmp_path.iterdir()) == [path]
    assert clip.frames is not None
    assert clip.waveform is not None
    clip.frames[0], clip.waveform[0] = 1, 0.5
    assert int(clip.frames[0].max()) == 1


def truncated(found: Scan, **changes: object) -> Scan:
    return Scan(**{**found.__dict__, **changes})


def test_decord_is_refused_where_it_disagrees(tmp_path: Path) -> None:
    times = [number * 0.04 for number in range(6)]
    path = write_clip(tmp_path / "clip.mp4", times=times)
    found = scan(path)
    assert found.video is not None
    assert found.first_picture is not None
    fewer = type(found.video)(**{**found.video.__dict__, "starts_seconds": found.video.starts_seconds[1:]})
    later = type(found.video)(**{**found.video.__dict__, "starts_seconds": found.video.starts_seconds * 1.1})
    for wrong, reason in (
        (truncated(found, video=fewer), "6 pictures, the container 5"),
        (truncated(found, video=later), "times differ"),
        (truncated(found, first_picture=found.first_picture + 9), "first picture is another"),
        (truncated(found, first_picture=found.first_picture[:-1]), "shape"),
        (truncated(found, first_picture=None), "no picture"),
    ):
        with pytest.raises(ReaderDisagreesError, match=reason):
            list(decord_pictures(path, wrong))


def test_an_end_that_repeats_itself_is_read_again_by_pyav(tmp_path: Path, decoder: MediaDecoder) -> None:
    still = [np.full((64, 64, 3), 100, dtype=np.uint8)] * 5
    clip = decoder.decode(write_clip(tmp_path / "clip.mp4", times=[i * 0.04 for i in range(5)], pictures=still), VIEW)
    assert clip.reader == "pyav"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nasty/vfr_pts_minus_1p8.mp4", "266 pictures, the container 209"),  # ignores the edit list: 1.9 s early
        ("nasty/discard_first_keyframe.mp4", "30 pictures, the container 25"),
        ("nasty/two_video_two_audio_streams.mp4", "390 pictures, the container 325"),  # takes the other stream
        ("real/grid_bbaf2n.mpg", "cannot rewind"),  # 12 pictures early, at the right times
        ("nasty/av1_mkv.mkv", "failed"),
        ("nasty/h264_10bit.mp4", "first picture is another"),
        ("real/avobjects_debate.mp4", "too large"),
    ],
)
def test_decord_is_refused_on_real_files_that_it_reads_wrongly(name: str, reason: str, media_folder: Path) -> None:
    path = media_folder / name
    with pytest.raises(ReaderDisagreesError, match=reason):
        for _ in decord_pictures(path, scan(path)):
            pass


@pytest.mark.parametrize(
    "name", ["real/vox_00067.mp4", "real/vretalk_face1.mp4", "nasty/rotated90_3frames.mov", "nasty/vfr_0p53s_gaps.mp4"]
)
def test_where_decord_is_accepted_it_shows_what_pyav_shows(name: str, media_folder: Path) -> None:
    path = media_folder / name
    damage = Damage()
    for one, other in zip(decord_pictures(path, scan(path)), pyav_pictures(path, damage), strict=True):
        assert one.seconds == pytest.approx(other.seconds, abs=1e-6)
        np.testing.assert_array_equal(one.rgb(), other.rgb())
    assert damage.num_packets == 0
