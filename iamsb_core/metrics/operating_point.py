"""From which scores on to speak: thresholds chosen on one split, to be used on videos never seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.nms import hard_nms
from iamsb_core.localization.proposals import Proposals
from iamsb_core.metrics.tiou import pairwise_tiou

_FOUND_TIOU = 0.5


def segment_threshold(truths: Sequence[NDArray[np.float64]], proposals: Sequence[Proposals]) -> float:
    """The proposal score from which on the segments shown agree best with the truth, by F1 at a tiou of 0.5.

    Of overlapping proposals only the best is counted, as a report shows it. 0.5 where there is nothing to find.
    """
    counted = [_hits(truth, hard_nms(found)) for truth, found in zip(truths, proposals, strict=True)]
    hits = np.concatenate([np.empty((0, 2)), *counted])
    num_truths = sum(len(truth) for truth in truths)
    if num_truths == 0 or not hits[:, 1].any():
        return 0.5
    hits = hits[np.argsort(-hits[:, 0], kind="stable")]
    f1 = 2.0 * np.cumsum(hits[:, 1]) / (num_truths + np.arange(1, len(hits) + 1))
    return float(hits[int(np.argmax(f1)), 0])


def clip_threshold(forged: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The clip score from which on calling a clip forged is right most often, both kinds weighing the same.

    Half-way between two scores; the highest of equally good ones, since a false accusation is the worse error.
    0.5 where one kind is missing.
    """
    if forged.all() or not forged.any():
        return 0.5
    values = np.unique(scores)
    between = np.maximum((values[:-1] + values[1:]) / 2, np.nextafter(values[:-1], np.inf))
    choices = np.concatenate([values[:1], between])
    caught = (scores[forged][:, None] >= choices).mean(axis=0)
    cleared = (scores[~forged][:, None] < choices).mean(axis=0)
    return float(choices[len(choices) - 1 - int(np.argmax((caught + cleared)[::-1]))])


def _hits(truth: NDArray[np.float64], proposals: Proposals) -> NDArray[np.float64]:
    """(N, 2): score, and 1 for the best scored proposal that meets each true segment."""
    hit = np.zeros(len(proposals))
    if len(truth) and len(proposals):
        meets = pairwise_tiou(proposals[:, :2], truth) >= _FOUND_TIOU
        first = meets.argmax(axis=0)
        hit[np.unique(first[meets.any(axis=0)])] = 1.0
    return np.stack([proposals[:, 2].astype(np.float64), hit], axis=1)
