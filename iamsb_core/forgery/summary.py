"""What a forged dataset holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iamsb_core.forgery.config import FRAME_RATE_HZ
from iamsb_core.forgery.plan import ClipPlan, count_people
from iamsb_core.forgery.takes import SourceLength
from iamsb_core.manifest import SPLITS, Split


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What one split holds."""

    num_clips: int
    num_real: int
    num_forged_audio: int
    num_forged_visual: int
    num_segments_audio: int
    num_segments_visual: int
    num_people: int
    duration_seconds: float


@dataclass(frozen=True, kw_only=True)
class ForgeSummary:
    """What was made. `iamsb_core.digest.plain` makes it JSON data."""

    out: Path
    digest: str
    reused: bool
    """whether the dataset was there already"""
    splits: dict[Split, SplitSummary]
    methods: dict[str, int]
    """number of forged segments by `stream:method`"""
    skipped: tuple[tuple[str, str], ...]
    """sources that could not be used, with the reason"""
    wall_seconds: float


def summarise(
    out: Path,
    identity: str,
    *,
    plans: Sequence[ClipPlan],
    notes: Sequence[Mapping[str, Any]],
    sources: Sequence[SourceLength],
    skipped: tuple[tuple[str, str], ...],
) -> ForgeSummary:
    """Count what was made; the time that it took is not known here."""
    people = count_people(plans, sources)
    methods = Counter(
        f"{stream}:{span['method']}" for note in notes for stream in ("audio", "visual") for span in note[stream]
    )
    splits = {
        split: _split_summary([note for note in notes if note["split"] == split], people[split]) for split in SPLITS
    }
    return ForgeSummary(
        out=out,
        digest=identity,
        reused=False,
        splits=splits,
        methods=dict(sorted(methods.items())),
        skipped=skipped,
        wall_seconds=0.0,
    )


def _split_summary(notes: Sequence[Mapping[str, Any]], num_people: int) -> SplitSummary:
    return SplitSummary(
        num_clips=len(notes),
        num_real=sum(note["kind"] == "real" for note in notes),
        num_forged_audio=sum(bool(note["audio"]) for note in notes),
        num_forged_visual=sum(bool(note["visual"]) for note in notes),
        num_segments_audio=sum(len(note["audio"]) for note in notes),
        num_segments_visual=sum(len(note["visual"]) for note in notes),
        num_people=num_people,
        duration_seconds=sum(note["num_frames"] for note in notes) / FRAME_RATE_HZ,
    )


def summary_from(stored: Mapping[str, Any], out: Path) -> ForgeSummary:
    """The summary that `plain` made JSON data of, for a dataset that lies in `out`."""
    splits = {name: SplitSummary(**stored["splits"][name]) for name in SPLITS}
    skipped = tuple((name, reason) for name, reason in stored["skipped"])
    return ForgeSummary(**{**stored, "out": out, "splits": splits, "skipped": skipped})
