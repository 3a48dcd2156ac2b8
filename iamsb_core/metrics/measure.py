"""One measurement: clips, what is true of one stream, what is predicted of it, and the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Modality, stream_name
from iamsb_core.metrics.average_precision import areas, threshold_key, true_positive_ranks
from iamsb_core.metrics.average_recall import average_recall
from iamsb_core.metrics.cells import cell_auc
from iamsb_core.metrics.clip_lists import EVERYTHING, ClipLists, Contents, clip_lists
from iamsb_core.metrics.detection import best_threshold, decide, equal_error_rate, roc_auc
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.metrics.length_slices import by_segment_length
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.metric_report import Counts, GroupMetrics, StreamMetrics, Values
from iamsb_core.metrics.packed import Packed, pack
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy
from iamsb_core.metrics.protocols import Protocol
from iamsb_core.metrics.slices import Slicing, groups_of

FUSED = "fused"


@dataclass(frozen=True)
class DecisionThresholds:
    """From which clip score on a clip is called forged."""

    of: Mapping[str, float]
    """by `fused`, `audio` and `visual`; one that is absent is not decided"""
    chosen_on: str = "given"

    @classmethod
    def given(cls, threshold: float) -> DecisionThresholds:
        """The same for all."""
        return cls(dict.fromkeys((FUSED, *map(stream_name, STREAMS)), threshold))

    @classmethod
    def of_split(
        cls, labels: Labels, predictions: Mapping[str, ClipProposals], contents: Contents, split: str
    ) -> DecisionThresholds:
        """Those of the best accuracy on one split, to be used on another. Raises ValueError where it has no clips."""
        clips = [clip for clip in labels.clips if clip.split == split and clip.video_id in predictions]
        if not clips:
            raise ValueError(
                f"no clip of split {split!r} has both a label and a prediction, so no threshold can be chosen on it; "
                "predict that split too, or give the threshold as a number"
            )
        wanted: list[Modality | None] = [None, *(STREAMS if Labels(tuple(clips)).has_streams else ())]
        lists = {_name(modality): clip_lists(clips, predictions, modality, contents) for modality in wanted}
        return cls(
            {
                name: best_threshold(scored.forged, scored.clip_scores)
                for name, scored in lists.items()
                if scored.has_clip_scores
            },
            split,
        )


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to measure."""

    protocol: Protocol
    policy: Policy = DEFAULT_POLICY
    contents: Contents = EVERYTHING
    cells: bool = False
    """also the AUC of cells of 0.04 s"""
    thresholds: DecisionThresholds | None = None

    def packed(self, scored: ClipLists) -> Packed:
        """The lists in flat arrays; a protocol that ranks proposals within a clip has them sorted in any case."""
        sorts = self.protocol.matching == "best" and self.policy.unsorted == "as-is"
        return pack(scored.truths, scored.proposals, replace(self.policy, unsorted="sort") if sorts else self.policy)


def measure(
    clips: Sequence[ClipTruth],
    predictions: Mapping[str, ClipProposals],
    modality: Modality | None,
    rules: Rules,
    warnings: list[str],
) -> StreamMetrics:
    """The metrics of one stream, or of both together; what had to be mended is added to the warnings."""
    scored = clip_lists(clips, predictions, modality, rules.contents)
    packed = rules.packed(scored)
    warnings += packed.warnings
    if scored.has_segments and packed.num_truths == 0:
        warnings.append("no clip is forged, so there is no AP or AR")
    ap, ap_full, ar = _localisation(packed, rules.protocol, scored.has_segments)
    metrics = StreamMetrics(
        ap=ap,
        ap_full=ap_full,
        ar=ar,
        auc=None,
        eer=None,
        cell_auc=cell_auc(_cells(scored, packed)) if rules.cells and scored.has_segments else None,
        counts=Counts(
            clips=packed.num_clips,
            forged_clips=int(scored.forged.sum()),
            truths=packed.num_truths,
            proposals=len(packed.proposals),
        ),
    )
    return _with_detection(metrics, scored, rules.thresholds, _name(modality)) if scored.has_clip_scores else metrics


def measure_group(
    clips: Sequence[ClipTruth],
    predictions: Mapping[str, ClipProposals],
    rules: Rules,
    warnings: list[str],
) -> GroupMetrics:
    """The metrics of the fused proposals, and of each stream where both sides tell streams apart."""
    fused = measure(clips, predictions, None, rules, warnings)
    streams: dict[str, StreamMetrics] = {}
    if rules.contents.streams and rules.contents.segments and Labels(tuple(clips)).has_streams:
        for stream in STREAMS:
            own: list[str] = []
            streams[stream_name(stream)] = measure(clips, predictions, stream, rules, own)
            warnings += [f"{stream_name(stream)}: {text}" for text in own]
    return GroupMetrics(**{item.name: getattr(fused, item.name) for item in fields(StreamMetrics)}, streams=streams)


def measure_slices(
    clips: Sequence[ClipTruth], predictions: Mapping[str, ClipProposals], by: Slicing, rules: Rules
) -> dict[str, GroupMetrics]:
    """The metrics of each group; warnings are those of the whole, and are not told again."""
    if by != "segment_length":
        return {name: measure_group(group, predictions, rules, []) for name, group in groups_of(clips, by).items()}
    scored = clip_lists(clips, predictions, None, rules.contents)
    return by_segment_length(rules.packed(scored), rules.protocol) if scored.has_segments else {}


def _name(modality: Modality | None) -> str:
    return FUSED if modality is None else stream_name(modality)


def _localisation(packed: Packed, protocol: Protocol, has_segments: bool) -> tuple[Values, Values, Values]:
    """AP under the protocol's area, AP of the full area, AR; all None where there are no segments to score."""
    if not has_segments:
        nothing: Values = {threshold_key(threshold): None for threshold in protocol.ap_tious}
        return nothing, nothing, {str(count): None for count in protocol.ar_counts}
    found = candidates(packed, protocol)
    ranks = true_positive_ranks(packed, found, protocol)
    sizes = (packed.num_truths, len(packed.proposals))
    ap, ap_full = areas(ranks, *sizes, protocol.area), areas(ranks, *sizes, "full")
    return ap, ap_full, average_recall(packed, found, protocol)


def _with_detection(
    metrics: StreamMetrics, scored: ClipLists, thresholds: DecisionThresholds | None, name: str
) -> StreamMetrics:
    threshold = None if thresholds is None else thresholds.of.get(name)
    return replace(
        metrics,
        auc=roc_auc(scored.forged, scored.clip_scores),
        eer=equal_error_rate(scored.forged, scored.clip_scores),
        decision=None
        if thresholds is None or threshold is None
        else decide(scored.forged, scored.clip_scores, threshold, thresholds.chosen_on),
    )


def _cells(scored: ClipLists, packed: Packed) -> Iterator[tuple[float, NDArray[np.floating], NDArray[np.floating]]]:
    """Clips of known duration whose truth is segments, for `cell_auc`."""
    offsets = packed.proposal_offsets.tolist()
    for index, clip in enumerate(scored.clips):
        if clip.duration_seconds is not None and not clip.is_whole_clip:
            yield clip.duration_seconds, scored.truths[index], packed.proposals[offsets[index] : offsets[index + 1]]
