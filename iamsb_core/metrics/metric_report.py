"""The result of an evaluation, as data that becomes JSON with `iamsb_core.digest.plain`."""

from __future__ import annotations

from dataclasses import dataclass, field

from iamsb_core.metrics.detection import Decision
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy

Values = dict[str, float | None]
"""by threshold ("0.5") or number of proposals ("100"), in [0, 1]; None where nothing was there to find"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What the numbers rest on."""

    clips: int
    forged_clips: int
    truths: int
    proposals: int


@dataclass(frozen=True, kw_only=True)
class StreamMetrics:
    """Localisation and detection, of one stream or of both together."""

    ap: Values
    """by tiou threshold, under the protocol's area"""
    ap_full: Values
    """the same with the whole area under the curve; differs by at most 1 / truths from the official one"""
    ar: Values
    """by number of proposals"""
    auc: float | None
    """of clips: forged or genuine; by the clip's score, or for one stream by its best proposal's"""
    eer: float | None
    cell_auc: float | None
    """of cells of 0.04 s, where it was asked for"""
    decision: Decision | None = None
    """accuracy and error rates of clips at a threshold, where one was given or chosen"""
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class GroupMetrics(StreamMetrics):
    """The metrics of the fused proposals, and of each stream."""

    streams: dict[str, StreamMetrics] = field(default_factory=dict)
    """`audio` and `visual`"""


@dataclass(frozen=True, kw_only=True)
class MetricReport(GroupMetrics):
    """The metrics of all clips and of slices of them, with the protocol they follow."""

    protocol: str
    score: float | None
    """the challenge's own score, where the protocol has one"""
    final: float | None
    """(AUC + score) / 2, where the protocol has it (ddl-av)"""
    slices: dict[str, dict[str, GroupMetrics]] = field(default_factory=dict)
    """by what was grouped, and by group"""
    policy: Policy = DEFAULT_POLICY
    warnings: tuple[str, ...] = ()
