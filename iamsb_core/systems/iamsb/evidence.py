"""Why: budgets, coupling statistics, control energies, reachability and top witnesses of a clip, as JSON data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from iamsb_core.bridge.energy import steps_to_reach
from iamsb_core.manifest import Modality
from iamsb_core.systems.iamsb.config import OutputConfig
from iamsb_core.systems.iamsb.outputs import IamsbOutputs, StreamOutputs
from iamsb_core.systems.iamsb.state import StepTrace
from iamsb_core.systems.segments import pairwise_tiou

_STATISTICS = ("residual", "matched_mass", "unmatched_mass", "entropy", "inconsistency")
_NAMES = {Modality.AUDIO: "audio", Modality.VISUAL: "visual"}


def clip_evidence(outputs: IamsbOutputs, seconds: list[float], config: OutputConfig) -> list[dict[str, Any]]:
    """One record for each clip: what the paper reads from the bridges, and which latents bore witness."""
    records = [_budgets(outputs, row) for row in range(len(seconds))]
    for place, modality in enumerate((Modality.AUDIO, Modality.VISUAL)):
        stream = outputs.stream(modality)
        reach = _reachability(stream, config)
        energies = {"coarse": stream.coarse.energy.tolist()}
        if stream.refined is not None:
            energies["refinement"] = stream.refined.energy.tolist()
        for row, record in enumerate(records):
            record["present"][_NAMES[modality]] = bool(stream.present[row])
            record["control_energy"][_NAMES[modality]] = {name: values[row] for name, values in energies.items()}
            record["steps_to_reach"][_NAMES[modality]] = reach[row]
            record["witnesses"][_NAMES[modality]] = _top_witnesses(outputs, modality, row, seconds[row], config)
            if outputs.witness is not None:
                record["directional_scores"][_NAMES[modality]] = float(outputs.witness.scores[row, place])
    return records


def _budgets(outputs: IamsbOutputs, row: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "present": {},
        "weights": dict(zip(_NAMES.values(), outputs.weights[row].tolist(), strict=True)),
        "step_budget": dict(zip(_NAMES.values(), outputs.num_steps[row], strict=True)),
        "query_budget": dict(zip(_NAMES.values(), outputs.num_queries[row], strict=True)),
        "step_budget_target": outputs.step_targets[row],
        "query_budget_target": outputs.query_target,
        "coupling": {},
        "directional_scores": {},
        "control_energy": {},
        "steps_to_reach": {},
        "witnesses": {},
    }
    if outputs.witness is not None:
        record["coupling"] = dict(zip(_STATISTICS, outputs.witness.statistics[row].tolist(), strict=True))
    return record


def _reachability(stream: StreamOutputs, config: OutputConfig) -> list[int | None]:
    """S*(epsilon) of the last bridge that ran, per clip; None for a clip without the stream."""
    trace = stream.bridges[-1]
    present, taken = stream.present.tolist(), trace.active.sum(dim=0).tolist()
    distances = discrepancies(trace).tolist()
    return [
        steps_to_reach(distances[row][: taken[row] + 1], config.reach_tolerance) if present[row] else None
        for row in range(len(taken))
    ]


def discrepancies(trace: StepTrace) -> Tensor:
    """(B, S + 1): D = 1 - mean over final segments of the best tiou with the segments after S steps."""
    stages = torch.cat([trace.initial.segments[None], trace.segments])
    overlap = pairwise_tiou(trace.final.segments.expand_as(stages), stages)
    overlap = overlap.masked_fill(~trace.queries[:, None, :], 0.0)
    best = overlap.amax(dim=-1) * trace.queries
    return (1.0 - best.sum(dim=-1) / trace.queries.sum(dim=1).clamp_min(1)).T


def _top_witnesses(
    outputs: IamsbOutputs, modality: Modality, row: int, seconds: float, config: OutputConfig
) -> list[dict[str, Any]]:
    """The stream's most confident queries, each with the other stream's segments that bore witness."""
    stream, witnesses = outputs.stream(modality), outputs.witnesses(modality)
    if witnesses is None or not bool(stream.present[row]) or not bool(witnesses.present[row]):
        return []
    other = outputs.visual if modality is Modality.AUDIO else outputs.audio
    scores = stream.candidates.logits[row].sigmoid()
    found = []
    for query in scores.topk(min(config.num_evidence, len(scores))).indices.tolist():
        index, shares = witnesses.index[row, query, : config.num_evidence], witnesses.bias[row, query].exp()
        segments = (other.candidates.segments[row, index] * seconds).tolist()
        named = [
            {"segment": segment, "weight": weight}
            for segment, weight in zip(segments, shares[: config.num_evidence].tolist(), strict=True)
            if weight > 0.0
        ]
        segment = (stream.candidates.segments[row, query] * seconds).tolist()
        found.append({"segment": segment, "score": float(scores[query]), "witnesses": named})
    return found
