"""Is a new model better than the one in use? Decided from what both say of fixed test sets, and from nothing else.

Both are scored by the number that models are chosen by (`iamsb_core.metrics.bootstrap.paired_selections`). The new
model must be better by the mean over the test sets, more clearly than chance alone explains, and must not fall by more
than a tolerance on any test set, nor on any group of its clips that is large enough to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.bootstrap import Difference, paired_selections
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.metrics.protocols import Protocol
from iamsb_core.metrics.slices import Slicing, groups_of, telling

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PromotionRule:
    """What a new model must do to replace the champion. All numbers are shares, 0.02 being two points of percent."""

    tolerance: float = 0.02
    """how far the selection may fall on any test set, or on any slice of one"""
    max_p_value: float = 0.05
    """of the paired bootstrap's difference over the test sets; 1 asks only for a larger number"""
    min_slice_clips: int = 10
    """a slice with fewer forged clips is shown, and decides nothing: one clip would move it by too much"""
    num_replicates: int = 1000
    level: float = 0.95
    """of the intervals shown"""
    seed: int = 0
    """of the draws of clips"""

    def __post_init__(self) -> None:
        for name in ("tolerance", "max_p_value"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share, 0 to 1, got {getattr(self, name)}")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"a level lies between 0 and 1, such as 0.95, got {self.level}")
        for name in ("num_replicates", "min_slice_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"promotion needs {name} of at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class JudgedSet:
    """A test set with what both models say of it."""

    name: str
    labels: Labels
    candidate: Mapping[str, ClipProposals]
    champion: Mapping[str, ClipProposals]


@dataclass(frozen=True, kw_only=True)
class SliceResult:
    """Both models on one test set, or on one group of its clips."""

    test_set: str
    by: Slicing | Literal["all"]
    group: str
    num_clips: int
    num_forged: int
    candidate: float
    champion: float
    decides: bool
    """False for a group that is too small"""

    @property
    def fall(self) -> float:
        """How much lower the candidate is; negative where it is higher."""
        return self.champion - self.candidate


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the candidate replaces the champion, and why."""

    promote: bool
    reasons: tuple[str, ...]
    candidate: float
    """mean selection over the test sets"""
    champion: float
    difference: Difference
    """of the two means, with its interval and p-value"""
    sets: tuple[SliceResult, ...]
    slices: tuple[SliceResult, ...]


def decide(sets: Sequence[JudgedSet], rule: PromotionRule, protocol_name: str | Protocol = "lavdf") -> Decision:
    """Compare both models on all sets. Clips are drawn within each set, and each set counts the same.

    A clip of which a model says nothing counts as one in which it found nothing. Raises ValueError where there is no
    set, or one on which nothing can be scored.
    """
    if not sets:
        raise ValueError("a decision needs at least one test set, got none")
    rng = np.random.default_rng(rule.seed)
    draws = [_draws(one, rule, rng, protocol_name) for one in sets]
    whole = tuple(_whole(one, numbers) for one, numbers in zip(sets, draws, strict=True))
    slices = tuple(result for one in sets for result in _slices(one, rule, protocol_name))
    means = np.mean(draws, axis=0)
    difference = _difference(means[:, 0] - means[:, 1], rule.level)
    against = (*_not_better(difference, rule), *_falls((*whole, *slices), rule))
    return Decision(
        promote=not against,
        reasons=against or (_better(difference, rule),),
        candidate=float(means[0, 0]),
        champion=float(means[0, 1]),
        difference=difference,
        sets=whole,
        slices=slices,
    )


def _draws(
    one: JudgedSet, rule: PromotionRule, rng: np.random.Generator, protocol_name: str | Protocol
) -> NDArray[np.float64]:
    """(1 + replicates, 2): candidate and champion, of all clips first."""
    numbers = paired_selections(
        one.labels, (one.candidate, one.champion), protocol_name, rng=rng, num_replicates=rule.num_replicates
    )
    if not np.isfinite(numbers[0]).all():
        raise ValueError(
            f"the test set {one.name} cannot tell two models apart: it needs forged segments, or genuine and forged "
            f"clips; it has {sum(clip.is_forged for clip in one.labels.clips)} forged of {len(one.labels.clips)} clips"
        )
    return numbers


def _whole(one: JudgedSet, numbers: NDArray[np.float64]) -> SliceResult:
    return _result(one, "all", "", one.labels.clips, numbers[0], decides=True)


def _slices(one: JudgedSet, rule: PromotionRule, protocol_name: str | Protocol) -> Iterator[SliceResult]:
    """Both models on every group of clips that the labels tell, as far as anything can be scored there."""
    for by in telling(one.labels.clips):
        if by == "segment_length":  # no grouping of clips: those of `forged_length` say the same
            continue
        for name, clips in groups_of(one.labels.clips, by).items():
            numbers = _scored(one, Labels(tuple(clips)), protocol_name)
            if np.isfinite(numbers).all():
                num_forged = sum(clip.is_forged for clip in clips)
                yield _result(one, by, name, clips, numbers, decides=num_forged >= rule.min_slice_clips)


def _scored(one: JudgedSet, labels: Labels, protocol_name: str | Protocol) -> NDArray[np.float64]:
    """(2,): candidate and champion on these clips."""
    runs = (one.candidate, one.champion)
    found = paired_selections(labels, runs, protocol_name, rng=np.random.default_rng(0), num_replicates=1)
    return np.array(found[0])


def _result(
    one: JudgedSet,
    by: Slicing | Literal["all"],
    group: str,
    clips: Sequence[ClipTruth],
    numbers: NDArray[np.float64],
    *,
    decides: bool,
) -> SliceResult:
    return SliceResult(
        test_set=one.name,
        by=by,
        group=group,
        num_clips=len(clips),
        num_forged=sum(clip.is_forged for clip in clips),
        candidate=float(numbers[0]),
        champion=float(numbers[1]),
        decides=decides,
    )


def _difference(draws: NDArray[np.float64], level: float) -> Difference:
    """The first is the estimate, the others are replicates; the p-value is two-sided, and never 0."""
    drawn = draws[1:][np.isfinite(draws[1:])]  # a replicate may have drawn no forged clip
    if not len(drawn):
        return Difference(float(draws[0]), float("-inf"), float("inf"), p_value=1.0)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(float(draws[0]), float(low), float(high), float(min(1.0, 2 * (tail + 1) / (len(drawn) + 1))))


def _not_better(difference: Difference, rule: PromotionRule) -> Iterator[str]:
    if difference.estimate <= 0.0:
        yield f"the mean over the test sets is not higher: {_signed(difference.estimate)} points"
    elif difference.p_value > rule.max_p_value:
        yield (
            f"the mean over the test sets is {_signed(difference.estimate)} points higher, which chance explains too "
            f"well: p = {difference.p_value:.3f}, at most {rule.max_p_value:g} is wanted"
        )


def _falls(results: Sequence[SliceResult], rule: PromotionRule) -> Iterator[str]:
    for one in results:
        if one.decides and one.fall > rule.tolerance + _ROUNDING:
            where = one.test_set if one.by == "all" else f"{one.test_set}, {one.by} {one.group}"
            yield (
                f"{where}: falls by {100 * one.fall:.2f} points to {100 * one.candidate:.2f}, more than the "
                f"{100 * rule.tolerance:g} that are tolerated"
            )


def _better(difference: Difference, rule: PromotionRule) -> str:
    return (
        f"the mean over the test sets is {_signed(difference.estimate)} points higher (p = {difference.p_value:.3f}), "
        f"and nothing falls by more than {100 * rule.tolerance:g}"
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"
