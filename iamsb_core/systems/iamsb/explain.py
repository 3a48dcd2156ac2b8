"""What a reader of one clip's report asks beyond the evidence of every clip: its cells, and what was matched with what.

Both are read from a forward pass that is done; nothing here changes a score.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.systems.iamsb.outputs import IamsbOutputs, StreamOutputs
from iamsb_core.systems.segments import pairwise_tiou

_NUM_MATCHES = 6
_LOOKED_AT = 400
_SAME_TIOU = 0.5
_DECIMALS = 4


def cell_scores(outputs: IamsbOutputs, row: int, seconds: float) -> dict[str, Any]:
    """Each stream's forged probability of every cell (dense head), with the cell's length; absent streams left out.

    The score of a segment pools its query's confidence with the mean of these inside it and what the boundary
    probabilities say of its ends (`pooled_scores`): they are factors of the score, not a gradient of it.
    """
    found = {}
    for modality in STREAMS:
        stream = outputs.stream(modality)
        if bool(stream.present[row]):
            found[stream_name(modality)] = _cells(stream, row, seconds)
    return found


def _cells(stream: StreamOutputs, row: int, seconds: float) -> dict[str, Any]:
    values = stream.dense.forged_logits[row][stream.dense.valid[row]].sigmoid()
    hop_seconds = seconds / float(stream.dense.length_cells[row])
    return {"hop_seconds": hop_seconds, "scores": [round(value, _DECIMALS) for value in values.tolist()]}


def top_matches(plan: Tensor, cost: Tensor, audio: Tensor, visual: Tensor) -> list[dict[str, Any]]:
    """The pairs of a sound and a picture segment that hold most of the coupling's mass, heaviest first.

    plan and cost (N, M) of one clip, audio (N, 2) and visual (M, 2) in seconds. Pairs that say the same (both segments
    at a tiou above 0.5 with those of a heavier pair) are one: `mass` is their sum as a share of the plan's, `residual`
    their mean cost by mass.
    """
    mass, places = plan.flatten().topk(min(_LOOKED_AT, plan.numel()))
    sound, picture = audio[places // plan.shape[1]], visual[places % plan.shape[1]]
    same = (pairwise_tiou(sound, sound) > _SAME_TIOU) & (pairwise_tiou(picture, picture) > _SAME_TIOU)
    costs, total, left = cost.flatten()[places], plan.sum(), torch.ones_like(mass, dtype=torch.bool)
    found: list[dict[str, Any]] = []
    for place in range(len(mass)):
        if not left[place] or len(found) == _NUM_MATCHES:
            continue
        group = same[place] & left
        group[place] = True
        left &= ~group
        weight = mass[group].sum()
        found.append(
            {
                "audio": {"segment": sound[place].tolist()},
                "visual": {"segment": picture[place].tolist()},
                "mass": float(weight / total),
                "residual": float((mass[group] * costs[group]).sum() / weight),
            }
        )
    return sorted(found, key=lambda match: -match["mass"])
