"""The pictures of a clip as a visual encoder takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.media.clip import DecodedClip, FrameView
from iamsb_core.timeline import TimeGrid


def frame_view(spec: EncoderSpec) -> FrameView:
    """The view that a visual encoder's spec asks for. Raises ValueError where it asks for none."""
    if spec.view is None:
        raise ValueError(f"the encoder {spec.name!r} looks at pictures; give its spec a view, such as FrameView()")
    return spec.view


def checked_frames(clip: DecodedClip, view: FrameView) -> NDArray[np.uint8]:
    """(num_cells, size, size, 3): the clip's frames. Raises ValueError where they are not those of the view."""
    if clip.frames is None:
        raise ValueError("the clip has no pictures; encode the visual stream only where clip.frames is given")
    num_cells = TimeGrid.covering(clip.duration_seconds, 1.0 / view.rate_hz).num_cells
    wanted = (num_cells, view.size_pixels, view.size_pixels, 3)
    if clip.frames.shape != wanted:
        raise ValueError(f"frames of shape {clip.frames.shape}, but {clip.duration_seconds} s in {view} give {wanted}")
    return clip.frames
