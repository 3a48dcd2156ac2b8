"""A clip that is decoded a piece at a time is the clip that is decoded whole."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from iamsb_core.localizer import Localizer, LongClip
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder, MediaLimits
from iamsb_core.media.pieces import ClipPiece, FrameSamples, PieceSize

SECONDS = 14
VIEW = FrameView(size_pixels=32)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 s of a picture that scrolls, with a tone, in a container that only PyAV reads here."""
    path = tmp_path_factory.mktemp("pieces") / "scroll.avi"
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (48, 400, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", rate=Fraction(25), width=64, height=48, pix_fmt="yuvj420p")
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for index in range(25 * SECONDS):
            pixels = np.ascontiguousarray(np.roll(texture, index, axis=1)[:, :64])
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))
        tone = (8000 * np.sin(np.arange(16_000 * SECONDS) * 0.1)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.rate = 16_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(("keep", "context"), [(60, 20), (75, 25), (1, 1), (300, 30)])
def test_the_pieces_are_the_whole(video: Path, keep: int, context: int):
    pieces: list[ClipPiece] = []
    with MediaDecoder() as decoder:
        whole = decoder.decode(video, VIEW)
        sampled = decoder.decode(video, VIEW, on_piece=pieces.append, piece=PieceSize(keep=keep, context=context))
    assert whole.frames is not None
    assert whole.reader == sampled.reader == "pyav"
    num_cells = len(whole.frames)
    places = [piece.place for piece in pieces]
    assert [place.keep_first for place in places] == [0, *(place.keep_last for place in places[:-1])]
    assert places[-1].keep_last == num_cells
    assert len(places) > 1
    for piece, place in zip(pieces, places, strict=True):
        assert piece.clip.frames is not None
        assert np.array_equal(piece.clip.frames, whole.frames[place.first : place.last])
        assert piece.clip.frame_grid is not None
        assert piece.clip.frame_grid.num_cells == place.last - place.first
        assert place.keep_first - place.first >= min(context, place.keep_first), "enough before"
        assert place.last - place.keep_last >= min(context, num_cells - place.keep_last), "enough after"
    assert sampled.frames is not None
    assert np.array_equal(sampled.frames, whole.frames), "so few that all of them are samples"
    assert np.array_equal(sampled.waveform, whole.waveform)
    assert sampled.warnings == whole.warnings


def test_a_clip_no_longer_than_a_piece_stays_whole(video: Path):
    pieces: list[ClipPiece] = []
    with MediaDecoder() as decoder:
        clip = decoder.decode(video, VIEW, on_piece=pieces.append, piece=PieceSize(keep=330, context=20))
    assert pieces == []
    assert clip.frames is not None
    assert len(clip.frames) == 350


def test_samples_are_spread_evenly(video: Path):
    with MediaDecoder() as decoder:
        whole = decoder.decode(video, VIEW)
        samples = FrameSamples(most=40)
        decoder.decode(video, VIEW, on_piece=samples.take, piece=PieceSize(keep=60, context=20))
    made = samples.arrays()
    assert whole.frames is not None
    assert np.array_equal(made["frames"], whole.frames[4::9]), "every ninth, from the middle of the first nine on"
    assert len(made["frames"]) == len(made["face_found"]) == len(made["frame_boxes"]) == made["frame_grid"].num_cells
    assert made["frame_grid"].hop_seconds == pytest.approx(9 / 25)


def test_features_by_pieces_are_those_of_the_whole(video: Path, untrained_model: Path):
    localizer = Localizer.load(untrained_model, device="cpu")
    with MediaDecoder() as decoder:
        whole = localizer.decode(decoder, video)
        cut = localizer.decode(decoder, video, piece=PieceSize(keep=60, context=130))
    assert isinstance(cut, LongClip)
    assert not isinstance(whole, LongClip)
    features = localizer.encoders[Modality.VISUAL].encode([whole])[0].main.values.astype(np.float16)
    np.testing.assert_allclose(cut.visual.main.values, features, atol=2e-3)
    results = [localizer.examine(video, clip).report for clip in (whole, cut)]
    assert results[0].verdict.clip_score == pytest.approx(results[1].verdict.clip_score, abs=1e-4)
    assert results[0].warnings == results[1].warnings


def test_a_longer_clip_is_allowed_in_pieces(video: Path):
    limits = MediaLimits(max_duration_seconds=10.0)
    with MediaDecoder(limits) as decoder:
        with pytest.raises(DecodeError, match="above the limit of 10 s"):
            decoder.decode(video, VIEW)
        assert decoder.decode(video, VIEW, on_piece=lambda _: None).duration_seconds == pytest.approx(SECONDS)


def test_what_a_piece_is_used_for_may_fail(video: Path):
    def refuse(_: ClipPiece) -> None:
        raise ZeroDivisionError

    with MediaDecoder() as decoder:
        with pytest.raises(ZeroDivisionError):
            decoder.decode(video, VIEW, on_piece=refuse, piece=PieceSize(keep=60, context=20))
        assert decoder.decode(video, VIEW).frames is not None, "the next clip has a fresh process"
