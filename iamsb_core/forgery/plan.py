"""Which clips are made, from which recordings: decided from the seed alone, before any is made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from iamsb_core.forgery.config import FRAME_RATE_HZ, ForgeConfig
from iamsb_core.manifest import SPLITS, Split

ClipKind = Literal["real", "audio", "visual", "both_same_time", "both_different_times"]
_NUM_OTHERS = 4
FORGED_KINDS: tuple[ClipKind, ...] = get_args(ClipKind)[1:]


@dataclass(frozen=True, slots=True)
class SourceLength:
    """What planning has to know of a recording."""

    key: str
    person: str
    num_frames: int


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to make."""

    file: str
    """`train/000000.mp4`"""
    split: Split
    kind: ClipKind
    source: str
    """key of the recording that it is cut from"""
    others: tuple[str, ...]
    """keys of a few recordings of other people of the same split"""
    first_frame: int
    num_frames: int
    seed: tuple[int, int]


def plan_clips(sources: Sequence[SourceLength], config: ForgeConfig, seed: int) -> tuple[ClipPlan, ...]:
    """All clips of all splits, numbered through as LAV-DF's are. Raises ValueError for fewer than three people."""
    rng = np.random.default_rng([seed, 0x914A])
    people = split_people([source.person for source in sources], config, rng)
    plans: list[ClipPlan] = []
    for split, num_clips in zip(SPLITS, config.num_clips, strict=True):
        own = [source for source in sources if people[source.person] == split]
        chosen = _apportion(num_clips, [math.sqrt(source.num_frames) for source in own])
        cut_from = [source for source, times in zip(own, chosen, strict=True) for _ in range(times)]
        kinds = _kinds(num_clips, config, rng)
        for source_index, kind in zip(rng.permutation(num_clips), kinds, strict=True):
            at = (seed, len(plans))
            plans.append(_plan(cut_from[source_index], own, split=split, kind=kind, config=config, seed=at, rng=rng))
    return tuple(plans)


def _plan(
    source: SourceLength,
    own: list[SourceLength],
    *,
    split: Split,
    kind: ClipKind,
    config: ForgeConfig,
    seed: tuple[int, int],
    rng: np.random.Generator,
) -> ClipPlan:
    shortest, longest = (round(seconds * FRAME_RATE_HZ) for seconds in config.clip_seconds)
    others = [other.key for other in own if other.person != source.person]
    num_frames = min(int(rng.integers(shortest, longest + 1)), source.num_frames)
    return ClipPlan(
        file=f"{split}/{seed[1]:06d}.mp4",
        split=split,
        kind=kind,
        source=source.key,
        others=tuple(others[i] for i in rng.permutation(len(others))[:_NUM_OTHERS]),
        first_frame=int(rng.integers(source.num_frames - num_frames + 1)),
        num_frames=num_frames,
        seed=seed,
    )


def split_people(people: Sequence[str], config: ForgeConfig, rng: np.random.Generator) -> dict[str, Split]:
    """Each person in one split: at random, in proportion to the shares, at least one in each split with clips."""
    wanted = [split for split, num_clips in zip(SPLITS, config.num_clips, strict=True) if num_clips > 0]
    names = sorted(set(people))
    if len(names) < len(wanted):
        raise ValueError(
            f"{len(names)} people cannot fill {len(wanted)} splits ({', '.join(wanted)}) with nobody in two of them; "
            "give recordings of more people, or a list of identities if several people share a name"
        )
    shares = [share for share, num in zip(config.people_shares, config.num_clips, strict=True) if num > 0]
    fair = [share / sum(shares) * len(names) for share in shares]
    beyond_first = [max(1e-9, number - 1) for number in fair]
    counts = [1 + extra for extra in _apportion(len(names) - len(wanted), beyond_first)]
    order = [split for split, count in zip(wanted, counts, strict=True) for _ in range(count)]
    return {names[person]: split for person, split in zip(rng.permutation(len(names)), order, strict=True)}


def _kinds(num_clips: int, config: ForgeConfig, rng: np.random.Generator) -> list[ClipKind]:
    num_real = round(config.real_share * num_clips)
    weights = [float(getattr(config.mix, kind)) for kind in FORGED_KINDS]
    counts = _apportion(num_clips - num_real, weights)
    kinds: list[ClipKind] = ["real"] * num_real
    for kind, count in zip(FORGED_KINDS, counts, strict=True):
        kinds.extend([kind] * count)
    return [kinds[i] for i in rng.permutation(num_clips)]


def _apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers with this total, nearest to the weights' proportions (largest remainders)."""
    exact = np.asarray(weights) / sum(weights) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]:
        counts[i] += 1
    return [int(count) for count in counts]


def count_people(plans: Sequence[ClipPlan], sources: Sequence[SourceLength]) -> dict[Split, int]:
    """How many people appear in each split."""
    person = {source.key: source.person for source in sources}
    found: dict[Split, set[str]] = defaultdict(set)
    for plan in plans:
        found[plan.split].add(person[plan.source])
    return {split: len(found[split]) for split in SPLITS}
