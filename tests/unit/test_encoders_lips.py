"""The mouth beside the face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.lips import LipsEncoder, mouth_crop
from iamsb_core.encoders.load import encoder_specs, load_encoder, resolve_spec
from iamsb_core.media.clip import DecodedClip, MediaProbe
from iamsb_core.timeline import TimeGrid

SPEC = encoder_specs("handcrafted-lips")[1]
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="mp4", num_video_streams=1, num_audio_streams=0,
    video_codec="h264", width=64, height=64, rotation_degrees=0, num_video_frames=0, average_fps=25.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec=None, sample_rate_hz=0, num_channels=0,
    audio_start_seconds=0.0,
)  # fmt: skip


def clip_of(frames: np.ndarray) -> DecodedClip:
    grid = TimeGrid(0.04, len(frames))
    return DecodedClip(
        probe=PROBE, duration_seconds=grid.duration_seconds, waveform=None, frames=frames, frame_boxes=None,
        face_found=None, frame_grid=grid, reader="pyav",
    )  # fmt: skip


def test_the_crop_is_the_lower_middle_of_the_face() -> None:
    """Rows 112 to 208 and columns 64 to 160 of 224: a square of 12/28 of the side, corner on corner."""
    face = np.zeros((224, 224, 3), dtype=np.uint8)
    face[112:208, 64:160] = 100
    assert (mouth_crop(face) == 100).all()
    face[112:136, 64:88] = 200
    mouth = mouth_crop(face)
    assert mouth.shape == face.shape
    assert (mouth[:50, :50] == 200).all()
    assert (mouth[62:, 62:] == 100).all()


def test_lips_are_the_second_track_and_the_face_is_as_it_was() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (6, 224, 224, 3), dtype=np.uint8)
    encoder, face = load_encoder(SPEC), load_encoder(replace(SPEC, lips=0))
    assert isinstance(encoder, LipsEncoder)
    (track,) = encoder.encode([clip_of(frames)])
    (alone,) = face.encode([clip_of(frames)])
    np.testing.assert_array_equal(track.main.values, alone.main.values)
    mouths = np.stack([mouth_crop(frame) for frame in frames])
    (expected,) = face.encode([clip_of(mouths)])
    assert track.fine is not None
    np.testing.assert_array_equal(track.fine.values, expected.main.values)
    assert track.fine.grid == track.main.grid
    assert (encoder.stream.fine_dim, encoder.stream.fine_hop_seconds) == (encoder.stream.dim, 0.04)


def test_only_what_looks_at_lips_has_another_identity() -> None:
    audio, visual = encoder_specs("handcrafted")
    assert encoder_specs("handcrafted-lips")[0] == audio
    assert SPEC.identity != visual.identity
    assert replace(SPEC, lips=0).identity == visual.identity
    # as it was before there were lips: stored features stay valid
    assert audio.identity == EncoderSpec(name="handcrafted-audio", version=audio.version).identity
    assert encoder_specs("wavlm:/w@3+clip:/c@5+lips,bfloat16")[1].lips == 1
    assert encoder_specs("wavlm:/w@3+clip:/c@5+lips,bfloat16")[1].layer == 5


def test_lips_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(ValueError, match="lips are for visual encoders"):
        resolve_spec(replace(encoder_specs("handcrafted")[0], lips=1))
    with pytest.raises(ValueError, match="lips of version 9"):
        resolve_spec(replace(SPEC, lips=9))
