"""From points' answers to a clip's result: best candidates, suppression, voting, fusion of the streams.

Shapes: B clips, P points, N candidates, M kept proposals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.localization.fusion import fuse_union_clips
from iamsb_core.localization.nms import hard_nms_clips, soft_nms_clips
from iamsb_core.localization.proposals import ClipProposals, Proposals, sorted_proposals
from iamsb_core.systems.pyramid.config import DecodingConfig
from iamsb_core.systems.pyramid.heads import StreamAnswers

_TINY = 1e-9


def clip_proposals(
    audio: StreamAnswers, visual: StreamAnswers, batch: Batch, config: DecodingConfig
) -> list[ClipProposals]:
    """One result for each clip, in seconds, by falling score. The clip's score is the noisy-or of its streams'."""
    seconds = batch.duration_seconds.tolist()
    heard, seen = (stream_proposals(answers, batch.duration_seconds, config) for answers in (audio, visual))
    fused = _fused(heard, seen, config)
    probability = torch.stack([answers.clip_logit.sigmoid() * answers.present for answers in (audio, visual)])
    clip_scores = (1.0 - (1.0 - probability).prod(dim=0)).tolist()
    evidence = _evidence(audio, visual, batch, probability, config)
    return [
        ClipProposals(video_id, seconds[row], heard[row], seen[row], fused[row], clip_scores[row], evidence[row])
        for row, video_id in enumerate(batch.video_ids)
    ]


def stream_proposals(answers: StreamAnswers, duration_seconds: Tensor, config: DecodingConfig) -> list[Proposals]:
    """One stream's list for each clip; empty for a clip without the stream."""
    scores = answers.logits.sigmoid().masked_fill(~answers.valid, -1.0)
    best, index = scores.topk(min(config.num_candidates, scores.shape[1]), dim=1)
    segments = answers.segments.gather(1, index[..., None].expand(-1, -1, 2)) * duration_seconds[:, None, None]
    table = torch.cat([segments, best[..., None]], dim=-1).float().cpu().numpy()
    candidates = [clip[clip[:, 2] >= 0.0] for clip in table]
    kept = _suppressed(candidates, config)
    if config.voting_tiou is None:
        return kept
    return [voted(clip, pool, config.voting_tiou) for clip, pool in zip(kept, candidates, strict=True)]


def _suppressed(candidates: list[NDArray[np.float32]], config: DecodingConfig) -> list[Proposals]:
    if config.suppression == "soft":
        return soft_nms_clips(candidates, sigma=config.sigma, min_score=0.0, max_proposals=config.max_proposals)
    return hard_nms_clips(candidates, tiou=config.hard_tiou, max_proposals=config.max_proposals)


def voted(kept: NDArray[np.float32], candidates: NDArray[np.float32], least_tiou: float) -> Proposals:
    """Kept segments (M, 3) moved to the mean of the candidates (N, 3) that overlap each by least_tiou or more.

    Weights are score times tiou; scores and order stay. A segment whose voters have no score stays where it is.
    """
    start, end, score = (candidates[:, place].astype(np.float64) for place in range(3))
    overlap = np.minimum(kept[:, 1:2], end) - np.maximum(kept[:, 0:1], start)
    overlap = np.maximum(overlap, 0.0)
    union = (kept[:, 1:2] - kept[:, 0:1]) + (end - start) - overlap
    tiou = overlap / np.maximum(union, _TINY)
    weight = np.where(tiou >= least_tiou, tiou * score, 0.0)
    total = weight.sum(axis=1)
    moved = np.stack([weight @ start, weight @ end], axis=1) / np.maximum(total, _TINY)[:, None]
    segments = np.where((total > _TINY)[:, None], moved, kept[:, :2])
    return np.concatenate([segments, kept[:, 2:]], axis=1).astype(np.float32)


def _fused(audio: list[Proposals], visual: list[Proposals], config: DecodingConfig) -> list[Proposals]:
    if config.fusion == "suppressed":
        return fuse_union_clips(audio, visual, sigma=config.fusion_sigma, max_proposals=config.max_proposals)
    joined = [np.concatenate(pair) for pair in zip(audio, visual, strict=True)]
    return [sorted_proposals(clip)[: config.max_proposals] for clip in joined]


def _evidence(
    audio: StreamAnswers,
    visual: StreamAnswers,
    batch: Batch,
    probability: Tensor,
    config: DecodingConfig,
) -> list[dict[str, Any]]:
    """Which streams there are, how probably each is forged, and the cells and scales that say so."""
    said = {
        name: _best_answers(answers, batch.duration_seconds, config.num_evidence)
        for name, answers in (("audio", audio), ("visual", visual))
    }
    present = {"audio": audio.present.tolist(), "visual": visual.present.tolist()}
    shares = dict(zip(said, probability.tolist(), strict=True))
    return [
        {
            "present": {name: values[row] for name, values in present.items()},
            "stream_probability": {name: values[row] for name, values in shares.items()},
            "answers": {name: values[row] for name, values in said.items()},
        }
        for row in range(len(batch))
    ]


def _best_answers(answers: StreamAnswers, duration_seconds: Tensor, num_answers: int) -> list[list[dict[str, Any]]]:
    """Of each clip: the points with the largest scores before suppression, each with the stride of its level."""
    scores = answers.logits.sigmoid().masked_fill(~answers.valid, -1.0)
    best, index = scores.topk(min(num_answers, scores.shape[1]), dim=1)
    segments = answers.segments.gather(1, index[..., None].expand(-1, -1, 2)) * duration_seconds[:, None, None]
    strides = answers.points.stride_cells[index] * (duration_seconds / answers.length_cells)[:, None]
    rows = zip(segments.tolist(), best.tolist(), strides.tolist(), strict=True)
    return [
        [
            {"segment": segment, "score": score, "cell_seconds": stride}
            for segment, score, stride in zip(*row, strict=True)
            if score >= 0.0
        ]
        for row in rows
    ]
