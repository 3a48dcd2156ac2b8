"""From queries to a clip's result: refined segments, the coarse ones that were not refined, suppression, fusion.

Shapes: B clips, N queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.localization.fusion import fuse_union_clips
from iamsb_core.localization.nms import soft_nms_clips
from iamsb_core.localization.proposals import ClipProposals, Proposals
from iamsb_core.systems.iamsb.config import OutputConfig
from iamsb_core.systems.iamsb.dense import pooled_scores, segment_evidence
from iamsb_core.systems.iamsb.evidence import clip_evidence
from iamsb_core.systems.iamsb.outputs import IamsbOutputs, StreamOutputs
from iamsb_core.systems.iamsb.ranking import ProposalRanking, ranking_features


def clip_proposals(
    outputs: IamsbOutputs, batch: Batch, config: OutputConfig, rankings: Sequence[ProposalRanking]
) -> list[ClipProposals]:
    """One result for each clip, in seconds, by falling score; rankings of the sound's proposals and the picture's."""
    seconds = batch.duration_seconds.tolist()
    audio, visual = (
        _suppressed(stream, batch, config, ranking)
        for stream, ranking in zip((outputs.audio, outputs.visual), rankings, strict=True)
    )
    fused = fuse_union_clips(audio, visual, sigma=config.fusion_sigma, max_proposals=config.num_fused)
    scores = _clip_scores(outputs).tolist()
    evidence = clip_evidence(outputs, seconds, config)
    return [
        ClipProposals(video_id, seconds[row], audio[row], visual[row], fused[row], scores[row], evidence[row])
        for row, video_id in enumerate(batch.video_ids)
    ]


def final_segments(stream: StreamOutputs, unselected_scale: float) -> tuple[Tensor, Tensor]:
    """Segments (B, N, 2) and scores (B, N) of all queries; one that was not refined keeps its coarse segment."""
    segments, scores = stream.candidates.segments.clone(), stream.candidates.logits.sigmoid()
    if stream.selection is None or stream.refined is None:
        return segments, scores
    index, exists = stream.selection.index, stream.selection.exists
    scores = scores * unselected_scale
    kept_segments, kept_scores = segments.gather(1, index[..., None].expand(-1, -1, 2)), scores.gather(1, index)
    refined = torch.where(exists[..., None], stream.refined.final.segments, kept_segments)
    segments.scatter_(1, index[..., None].expand(-1, -1, 2), refined)
    scores.scatter_(1, index, torch.where(exists, stream.refined.final.logits.sigmoid(), kept_scores))
    return segments, scores


def claims(stream: StreamOutputs, batch: Batch, config: OutputConfig) -> tuple[Tensor, Tensor]:
    """Final segments (B, N, 2), and what a ranking reads of them (B, N, 5)."""
    segments, scores = final_segments(stream, config.unselected_scale)
    lengths_seconds = (segments[..., 1] - segments[..., 0]) * batch.duration_seconds[:, None]
    return segments, ranking_features(scores, *segment_evidence(stream.dense, segments), lengths_seconds)


def _suppressed(stream: StreamOutputs, batch: Batch, config: OutputConfig, ranking: ProposalRanking) -> list[Proposals]:
    """Soft-NMS of each clip; a clip without the stream has no proposals."""
    if config.ranking == "fitted" and ranking.is_fitted:
        segments, features = claims(stream, batch, config)
        scores = ranking(features)
    else:
        segments, scores = final_segments(stream, config.unselected_scale)
        scores = pooled_scores(scores, stream.dense, segments, config.evidence_weight)
    seconds = segments * batch.duration_seconds[:, None, None]
    table = torch.cat([seconds, scores[..., None]], dim=-1).float().cpu().numpy()
    present = stream.present.tolist()
    clips = [clip if here else clip[:0] for clip, here in zip(table, present, strict=True)]
    return soft_nms_clips(clips, sigma=config.nms_sigma, min_score=0.0)


def _clip_scores(outputs: IamsbOutputs) -> Tensor:
    """Noisy-or of the streams' calibrated probabilities, (B,); 0 for a clip without any stream."""
    streams = (outputs.audio, outputs.visual)
    genuine = [1.0 - stream.calibrated_logit.sigmoid() * stream.present for stream in streams]
    return 1.0 - genuine[0] * genuine[1]
