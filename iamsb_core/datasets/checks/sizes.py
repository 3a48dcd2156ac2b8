"""How large the splits are, beside what the benchmark's makers publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iamsb_core.datasets.checks.columns import LABELS, Columns
from iamsb_core.datasets.checks.findings import Finding, about_all, counted, finding
from iamsb_core.datasets.published import Published, PublishedSize
from iamsb_core.manifest import SPLITS, Modality, Split

_AUDIO, _VISUAL = Modality.AUDIO.value, Modality.VISUAL.value


@dataclass(frozen=True, slots=True)
class SplitSize:
    """How many videos, forgeries and people a split has."""

    split: Split
    num_videos: int
    num_genuine: int
    num_forged: int
    num_unlabelled: int
    num_forged_audio: int
    """with forged sound, alone or with the picture; counted where it is known which stream was forged"""
    num_forged_visual: int
    num_forged_audio_only: int
    num_forged_visual_only: int
    num_forged_both: int
    num_stream_unknown: int
    """forged in at least one stream, and nobody says which"""
    num_whole_clips: int
    """labelled as forged from end to end, without segments"""
    num_segments: int
    """forged stretches of either stream, overlapping ones joined"""
    num_identities: int
    stated_seconds: float
    """of all videos whose duration is known"""
    forged_seconds: float
    """the length of those segments together"""


def split_sizes(columns: Columns) -> tuple[SplitSize, ...]:
    """The size of each split, in the order of SPLITS."""
    merged = columns.merged()
    lengths = merged.ends_seconds - merged.starts_seconds
    segment_splits = columns.splits[merged.owners]
    return tuple(
        _size(columns, split, int((segment_splits == i).sum()), float(lengths[segment_splits == i].sum()))
        for i, split in enumerate(SPLITS)
    )


def _size(columns: Columns, split: Split, num_segments: int, forged_seconds: float) -> SplitSize:
    here = columns.in_split(split)
    streams, labels = columns.streams[here], columns.labels[here]
    told = columns.told_apart[here]
    unlabelled = labels == LABELS.index("none")
    audio, visual = ((streams & bit > 0) & told for bit in (_AUDIO, _VISUAL))
    people = columns.people.codes[here]
    return SplitSize(
        split=split,
        num_videos=int(here.sum()),
        num_genuine=int(((streams == 0) & ~unlabelled).sum()),
        num_forged=int((streams != 0).sum()),
        num_unlabelled=int(unlabelled.sum()),
        num_forged_audio=int(audio.sum()),
        num_forged_visual=int(visual.sum()),
        num_forged_audio_only=int((audio & ~visual).sum()),
        num_forged_visual_only=int((visual & ~audio).sum()),
        num_forged_both=int((audio & visual).sum()),
        num_stream_unknown=int(((streams != 0) & ~told).sum()),
        num_whole_clips=int(((streams != 0) & (labels == LABELS.index("clip"))).sum()),
        num_segments=num_segments,
        num_identities=len(np.unique(people[people >= 0])),
        stated_seconds=round(float(np.nansum(columns.durations_seconds[here])), 3),
        forged_seconds=round(forged_seconds, 3),
    )


def check_sizes(sizes: Sequence[SplitSize], published: Published | None) -> Iterator[Finding]:
    """Empty splits, unlabelled ones, and sizes other than the published ones."""
    for size in sizes:
        if size.num_videos == 0:
            message = f"no video is in split {size.split}"
            yield about_all("note", "empty_split", message, "nothing need be done unless you want to use that split")
        if size.num_unlabelled:
            message = f"{counted(size.num_unlabelled, 'video')} of {size.split} have no label"
            advice = "they can be localised and submitted, not trained on or scored here"
            yield about_all("note", "unlabelled", message, advice)
    if published is not None:
        yield from _against_published(sizes, published)


def _against_published(sizes: Sequence[SplitSize], published: Published) -> Iterator[Finding]:
    sentences: list[tuple[str, str]] = []
    for size in sizes:
        wanted = published.splits.get(size.split)
        if wanted is not None:
            sentences += _differences(size.split, (size.num_videos, size.num_genuine, size.num_forged), wanted)
    if published.total is not None:
        found = tuple(sum(getattr(s, name) for s in sizes) for name in ("num_videos", "num_genuine", "num_forged"))
        hidden = any(size.num_unlabelled for size in sizes)  # then genuine and forged are not all known
        wanted = PublishedSize(published.total.num_videos) if hidden else published.total
        sentences += _differences(
            "the whole",
            found,
            PublishedSize(wanted.num_videos, wanted.num_real, wanted.num_forged, published.total.rounded_to),
        )
    if sentences:
        message = f"the sizes are not those of {published.title} as published: {_what_it_is(sizes, published)}"
        advice = f"do not put numbers on it beside those of papers; the published sizes are from {published.source}"
        yield finding("warning", "size_differs", message, advice, sentences, count=len(sentences))


def _differences(name: str, found: Sequence[int], wanted: PublishedSize) -> list[tuple[str, str]]:
    pairs = zip(
        ("videos", "genuine", "forged"), found, (wanted.num_videos, wanted.num_real, wanted.num_forged), strict=True
    )
    wrong = [(word, has, due) for word, has, due in pairs if due is not None and wanted.differs(has, due)]
    return [(name, f"{name} has {has:,} {word}, {has - due:+,} against {due:,}") for word, has, due in wrong]


def _what_it_is(sizes: Sequence[SplitSize], published: Published) -> str:
    """A part of it, or another split of the same."""
    total = sum(size.num_videos for size in sizes)
    wanted = published.total or PublishedSize(sum(size.num_videos for size in published.splits.values()))
    over = [
        s.split for s in sizes if s.split in published.splits and s.num_videos > published.splits[s.split].num_videos
    ]
    if over and total <= wanted.num_videos:
        return f"{' and '.join(over)} holds more than it should: this copy was split anew"
    if total < wanted.num_videos:
        return f"{total / wanted.num_videos:.1%} of it is listed: this copy is a part"
    return "this copy is another edition"
