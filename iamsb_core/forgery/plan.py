"""Which clips are made, from which recordings: decided from the seed alone, before any is made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from iamsb_core.forgery.config import DONOR_METHODS, FRAME_RATE_HZ, ForgeConfig
from iamsb_core.forgery.names import Namer, namer
from iamsb_core.forgery.takes import Piece, SourceLength, join_takes
from iamsb_core.manifest import SPLITS, Split

ClipKind = Literal["real", "audio", "visual", "both_same_time", "both_different_times"]
_NUM_OTHERS = 4
FORGED_KINDS: tuple[ClipKind, ...] = get_args(ClipKind)[1:]


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to make."""

    file: str
    """`train/000000.mp4`, or as the layout names it"""
    split: Split
    kind: ClipKind
    pieces: tuple[Piece, ...]
    """what it is cut from; several are joined"""
    others: tuple[str, ...]
    """keys of a few recordings of other people of the same split"""
    seed: tuple[int, int]
    """the dataset's seed and the clip's number"""
    original: str | None = None
    """file of the genuine clip of the same pieces, where the layout puts one beside it"""

    @property
    def num_frames(self) -> int:
        return sum(piece.num_frames for piece in self.pieces)

    @property
    def number(self) -> int:
        return self.seed[1]


def plan_clips(sources: Sequence[SourceLength], config: ForgeConfig, seed: int) -> tuple[ClipPlan, ...]:
    """All clips of all splits, numbered through as LAV-DF's are. Raises ValueError for fewer than three people."""
    rng = np.random.default_rng([seed, 0x914A])
    people = split_people([source.person for source in sources], config, rng)
    names = namer(config.layout, sources)
    plans: list[ClipPlan] = []
    for split, num_clips in zip(SPLITS, config.num_clips, strict=True):
        own = [source for source in sources if people[source.person] == split]
        _check_donors(split, {source.person for source in own}, config, num_clips)
        kinds = _kinds_in_windows(num_clips, config, rng, grouped=names.grouped)
        chosen = apportion(len(kinds), [math.sqrt(source.num_frames) for source in own])
        cut_from = [source for source, times in zip(own, chosen, strict=True) for _ in range(times)]
        made: list[ClipPlan] = []
        for source_index, group in zip(kinds.order, kinds.groups, strict=True):
            at = (seed, len(plans) + len(made))
            made += _plan_window(cut_from[source_index], own, split, group, names=names, config=config, at=at, rng=rng)
        plans += _renamed(made, rng) if names.grouped and split == "test" else made
    return tuple(plans)


def _renamed(plans: list[ClipPlan], rng: np.random.Generator) -> list[ClipPlan]:
    """The same clips with their files' names dealt out by chance, so that a number does not tell what a clip is."""
    names = [plan.file for plan in plans]
    dealt = {name: names[i] for name, i in zip(names, rng.permutation(len(names)), strict=True)}
    return [
        replace(plan, file=dealt[plan.file], original=None if plan.original is None else dealt[plan.original])
        for plan in plans
    ]


@dataclass(frozen=True)
class _Windows:
    """The kinds of clips made from each window of genuine footage, and the windows' order of sources."""

    groups: tuple[tuple[ClipKind, ...], ...]
    order: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.groups)


def _kinds_in_windows(num_clips: int, config: ForgeConfig, rng: np.random.Generator, *, grouped: bool) -> _Windows:
    kinds = _kinds(num_clips, config, rng)
    groups = _grouped(kinds) if grouped else tuple((kind,) for kind in kinds)
    return _Windows(groups, tuple(rng.permutation(len(groups)).tolist()))


def _grouped(kinds: Sequence[ClipKind]) -> tuple[tuple[ClipKind, ...], ...]:
    """As few groups as there can be with at most one clip of each file name in each; genuine ones come first."""
    queues: dict[str, list[ClipKind]] = {"real": [], "audio": [], "visual": [], "both": []}
    for kind in kinds:
        queues[kind.partition("_")[0]].append(kind)
    number = max(map(len, queues.values()))
    return tuple(tuple(queue[i] for queue in queues.values() if i < len(queue)) for i in range(number))


def _plan_window(
    source: SourceLength,
    own: list[SourceLength],
    split: Split,
    kinds: tuple[ClipKind, ...],
    *,
    names: Namer,
    config: ForgeConfig,
    at: tuple[int, int],
    rng: np.random.Generator,
) -> list[ClipPlan]:
    """The clips of one window, numbered from at[1] on."""
    shortest, longest = (round(seconds * FRAME_RATE_HZ) for seconds in config.clip_seconds)
    others = [other.key for other in own if other.person != source.person]
    wanted = int(rng.integers(shortest, longest + 1))
    donors = tuple(others[i] for i in rng.permutation(len(others))[:_NUM_OTHERS])
    pieces = _pieces(source, [take for take in own if take.person == source.person], wanted, config, rng)
    files = {kind: names.file(split, kind, source, at[1], at[1] + k) for k, kind in enumerate(kinds)}
    original = files.get("real") if names.grouped else None
    return [
        ClipPlan(files[kind], split, kind, pieces, donors, (at[0], at[1] + k), None if kind == "real" else original)
        for k, kind in enumerate(kinds)
    ]


def _pieces(
    source: SourceLength, takes: list[SourceLength], wanted: int, config: ForgeConfig, rng: np.random.Generator
) -> tuple[Piece, ...]:
    if config.join_takes and source.num_frames < wanted:
        return join_takes(source, takes, wanted, round(config.min_source_seconds * FRAME_RATE_HZ), rng)
    num_frames = min(wanted, source.num_frames)
    return (Piece(source.key, int(rng.integers(source.num_frames - num_frames + 1)), num_frames),)


def _check_donors(split: Split, people: set[str], config: ForgeConfig, num_clips: int) -> None:
    """Raises ValueError where one person must be forged with other people's sound or face."""
    methods = config.methods_of(split)
    for stream, chosen in (("audio", methods.audio), ("visual", methods.visual)):
        if num_clips and len(people) < 2 and set(chosen) <= DONOR_METHODS:
            raise ValueError(
                f"{split} has one person, and its {stream} methods ({', '.join(chosen)}) take from another; "
                "give recordings of more people, or other methods"
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
    counts = [1 + extra for extra in apportion(len(names) - len(wanted), beyond_first)]
    order = [split for split, count in zip(wanted, counts, strict=True) for _ in range(count)]
    return {names[person]: split for person, split in zip(rng.permutation(len(names)), order, strict=True)}


def _kinds(num_clips: int, config: ForgeConfig, rng: np.random.Generator) -> list[ClipKind]:
    num_real = round(config.real_share * num_clips)
    weights = [float(getattr(config.mix, kind)) for kind in FORGED_KINDS]
    counts = apportion(num_clips - num_real, weights)
    kinds: list[ClipKind] = ["real"] * num_real
    for kind, count in zip(FORGED_KINDS, counts, strict=True):
        kinds.extend([kind] * count)
    return [kinds[i] for i in rng.permutation(num_clips)]


def apportion(total: int, weights: Sequence[float]) -> list[int]:
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
        found[plan.split].update(person[piece.source] for piece in plan.pieces)
    return {split: len(found[split]) for split in SPLITS}
