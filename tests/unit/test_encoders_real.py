"""The handcrafted pair on a genuine clip, as the decoder gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.timeline import TimeGrid


@pytest.mark.media
def test_three_seconds_of_a_genuine_clip(media_folder: Path) -> None:
    audio, visual = encoder_specs("handcrafted")
    with MediaDecoder() as decoder:
        clip = decoder.decode(media_folder / "real" / "grid_lbax4n.mpg", visual.view)
        tracks = [load_encoder(spec).encode([clip])[0] for spec in (audio, visual)]
    for track, hop_seconds in zip(tracks, (0.02, 0.04), strict=True):
        values = track.main.values
        assert track.main.grid == TimeGrid.covering(clip.duration_seconds, hop_seconds)
        assert np.isfinite(values).all()
        assert (values.std(axis=0) > 1e-4).all(), "every column says something about a real clip"
        assert np.abs(values).max() < 50
