"""What chance achieves: proposals that know nothing of the clip but its length."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Manifest


def random_predictions(
    manifest: Manifest,
    rng: np.random.Generator,
    *,
    num_proposals: int = 100,
    length_seconds: tuple[float, float] = (0.15, 2.0),
    durations_seconds: Mapping[str, float] | None = None,
) -> dict[str, ClipProposals]:
    """Random proposals of every clip, for each stream and for both, with random scores.

    Lengths are log-uniform between the two bounds (and no longer than the clip), starts uniform where the segment
    fits. durations_seconds stands in for durations that the manifest does not know; raises ValueError where a
    duration is known to neither.
    """
    found: dict[str, ClipProposals] = {}
    for video in manifest.videos:
        duration = (durations_seconds or {}).get(video.video_id, video.duration_seconds)
        if duration is None:
            raise ValueError(f"the duration of {video.video_id} is not known; give it in durations_seconds")
        audio, visual, fused = (_draw(duration, rng, num_proposals, length_seconds) for _ in range(3))
        found[video.video_id] = ClipProposals(video.video_id, duration, audio, visual, fused, float(rng.random()))
    return found


def _draw(
    duration: float, rng: np.random.Generator, num: int, length_seconds: tuple[float, float]
) -> NDArray[np.float32]:
    shortest, longest = (math.log(length) for length in length_seconds)
    lengths = np.minimum(np.exp(rng.uniform(shortest, longest, num)), duration)
    starts = rng.uniform(0.0, 1.0, num) * (duration - lengths)
    return sorted_proposals(np.stack([starts, starts + lengths, rng.random(num)], axis=1))
