"""What a reader of one clip's report asks beyond the evidence of every clip.

Its cells, what was matched with what, how boundaries moved from step to step, and why the budget fell as it did. All
of it is read from a forward pass that is done; nothing here changes a score.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.systems.iamsb.outputs import IamsbOutputs, StreamOutputs
from iamsb_core.systems.segments import pairwise_tiou

_NUM_MATCHES = 6
_NUM_PATHS = 3
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


def boundary_paths(outputs: IamsbOutputs, row: int, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """Each stream's most confident queries that are not the same segment: where they were after every step.

    `stages` begin with the interval prior, then come the steps of the coarse and of the refinement bridge; `step`
    counts within the bridge. A query that was not refined ends with the coarse bridge. Absent streams are left out.
    """
    found = {}
    for modality in STREAMS:
        stream = outputs.stream(modality)
        if bool(stream.present[row]):
            found[stream_name(modality)] = [_path(stream, row, query, seconds) for query in _distinct(stream, row)]
    return found


def _distinct(stream: StreamOutputs, row: int) -> list[int]:
    """Queries by falling final confidence, each unlike those before it."""
    scores = stream.candidates.logits[row].clone()
    segments = stream.candidates.segments[row].clone()
    if stream.refined is not None and stream.selection is not None:
        index = stream.selection.index[row][stream.selection.exists[row]]
        scores = torch.full_like(scores, -torch.inf) if len(index) else scores
        scores[index] = stream.refined.final.logits[row, : len(index)]
        segments[index] = stream.refined.final.segments[row, : len(index)]
    chosen: list[int] = []
    for query in scores.argsort(descending=True).tolist():
        if len(chosen) == _NUM_PATHS or not torch.isfinite(scores[query]):
            break
        if not chosen or bool((pairwise_tiou(segments[[query]], segments[chosen]) <= _SAME_TIOU).all()):
            chosen.append(query)
    return chosen


def _path(stream: StreamOutputs, row: int, query: int, seconds: float) -> dict[str, Any]:
    stages = [_stage("prior", 0, stream.coarse.initial.segments[row, query], seconds)]
    steps = stream.coarse.segments[:, row, query]
    stages += [_stage("coarse", place, segment, seconds) for place, segment in enumerate(steps, 1)]
    score = stream.candidates.logits[row, query]
    if stream.refined is not None and stream.selection is not None:
        places = ((stream.selection.index[row] == query) & stream.selection.exists[row]).nonzero()[:, 0].tolist()
        for place in places:
            steps = stream.refined.segments[stream.refined.active[:, row], row, place]
            stages += [_stage("refinement", step, segment, seconds) for step, segment in enumerate(steps, 1)]
            score = stream.refined.final.logits[row, place]
    return {"confidence": float(score.sigmoid()), "stages": stages}


def _stage(bridge: str, step: int, segment: Tensor, seconds: float) -> dict[str, Any]:
    places = [round(end, _DECIMALS) for end in (segment * seconds).tolist()]
    return {"bridge": bridge, "step": step, "segment": places}


def budget_reason(outputs: IamsbOutputs, row: int, energy_weight: float) -> str:
    """Why each stream got its steps, in a sentence.

    energy_weight is what the difference of control energies counts beside a directional score.
    """
    steps, witness = outputs.num_steps[row], outputs.witness
    spent = f"{steps[0]} steps for the sound and {steps[1]} for the picture"
    present = [bool(outputs.stream(modality).present[row]) for modality in STREAMS]
    if witness is None or not all(present) or not sum(steps):
        return f"{spent}: {'nothing weighs the streams' if all(present) else 'there is one stream'}"
    sound, picture = witness.scores[row].tolist()
    energies = [float(outputs.stream(modality).coarse.energy[row]) for modality in STREAMS]
    difference = energy_weight * (energies[0] - energies[1])
    which = "sound" if steps[0] > steps[1] else "picture"
    harder = "evenly" if steps[0] == steps[1] else f"the {which} is the harder one to reach"
    return (
        f"{spent}, {harder}: directional scores {sound:.2f} (sound from picture) and {picture:.2f} (picture from "
        f"sound), control energies add {difference:+.2f} for the sound"
    )
