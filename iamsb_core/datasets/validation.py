"""What is wrong with a dataset, found before hours are spent on it.

An error makes training or its numbers wrong; a warning is something to know; a note needs nothing done.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from iamsb_core.datasets.media_files import VIDEO_SUFFIXES, find_media
from iamsb_core.manifest import SPLITS, STREAMS, Manifest, Split, VideoRecord, stream_name

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "missing_file",
    "orphan_file",
    "outside_clip",
    "overlapping_segments",
    "duration_disagrees",
    "identity_in_two_splits",
    "duplicate_media",
    "empty_split",
    "repaired",
]
TOLERANCE_SECONDS = 0.04
"""one video frame: how far a segment may stand over the clip's end, and stated and decoded durations may differ"""
_MAX_LISTED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and the video it was found in (None: it concerns the whole dataset)."""

    severity: Severity
    kind: Kind
    message: str
    video_id: str | None = None


@dataclass(frozen=True, slots=True)
class SplitSize:
    """How many clips, forged clips and people a split has."""

    split: Split
    num_videos: int
    num_forged: int
    num_forged_audio: int
    num_forged_visual: int
    num_segments: int
    num_identities: int


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """All findings, errors first, and the sizes of the splits. `iamsb_core.digest.plain` makes it JSON data."""

    name: str
    root: str
    num_videos: int
    splits: tuple[SplitSize, ...]
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def raise_for_errors(self) -> None:
        """Raises ValueError with the first errors and their number, where there are any."""
        errors = self.of("error")
        if errors:
            shown = "; ".join(finding.message for finding in errors[:_MAX_LISTED])
            more = f"; and {len(errors) - _MAX_LISTED} more" if len(errors) > _MAX_LISTED else ""
            raise ValueError(
                f"{self.name} at {self.root} has {len(errors)} errors: {shown}{more}. "
                f"`iamsb dataset check {self.name} {self.root}` lists them all; mend the manifest and run again"
            )


def validate(
    manifest: Manifest,
    *,
    durations: Mapping[str, float] | None = None,
    media_sha256: Mapping[str, str] | None = None,
    look_at_files: bool = True,
) -> ValidationReport:
    """Check every record, and the splits against one another.

    durations and media_sha256: by video_id, what probing the files gave; without them the manifest's own are used.
    look_at_files: also look for listed files that are absent, and files that are not listed.
    """
    durations, sha256 = durations or {}, dict(media_sha256 or {})
    for video in manifest.videos:
        if video.media_sha256 is not None:
            sha256.setdefault(video.video_id, video.media_sha256)
    findings = [Finding("warning", "repaired", text) for text in manifest.repairs]
    for video in manifest.videos:
        findings.extend(_check_segments(video, durations.get(video.video_id)))
    findings.extend(_check_identities(manifest))
    findings.extend(_check_duplicates(manifest, sha256))
    sizes = tuple(_size(manifest, split) for split in SPLITS)
    findings.extend(_check_splits(sizes))
    if look_at_files:
        findings.extend(_check_files(manifest))
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda finding: order[finding.severity])
    return ValidationReport(manifest.name, str(manifest.root), len(manifest.videos), sizes, tuple(findings))


def _check_segments(video: VideoRecord, probed_seconds: float | None) -> Iterator[Finding]:
    stated = video.duration_seconds
    duration = stated if probed_seconds is None else probed_seconds
    if stated is not None and probed_seconds is not None and abs(stated - probed_seconds) > TOLERANCE_SECONDS:
        text = f"{video.video_id}: the manifest says {stated:.3f} s, the file lasts {probed_seconds:.3f} s"
        yield Finding("warning", "duration_disagrees", text, video.video_id)
    for forgery in video.forgeries:
        segment = forgery.segment
        if duration is not None and segment.end > duration + TOLERANCE_SECONDS:
            text = (
                f"{video.video_id}: the forged segment [{segment.start:.3f}, {segment.end:.3f}) s lies outside the "
                f"clip, which lasts {duration:.3f} s; correct the segment, or fetch the whole file"
            )
            yield Finding("error", "outside_clip", text, video.video_id)
    for modality in STREAMS:
        own = sorted(f.segment for f in video.forgeries if f.modality & modality)
        if any(first.end > second.start for first, second in itertools.pairwise(own)):
            text = f"{video.video_id}: forged {stream_name(modality)} segments overlap; their union is used"
            yield Finding("warning", "overlapping_segments", text, video.video_id)


def _check_identities(manifest: Manifest) -> Iterator[Finding]:
    splits: dict[str, set[Split]] = defaultdict(set)
    for video in manifest.videos:
        if video.identity is not None:
            splits[video.identity].add(video.split)
    for identity, where in sorted(splits.items()):
        if len(where) > 1:
            text = f"the person {identity!r} appears in {' and '.join(sorted(where))}; results on them are too good"
            yield Finding("error", "identity_in_two_splits", text)


def _check_duplicates(manifest: Manifest, sha256: Mapping[str, str]) -> Iterator[Finding]:
    holders: dict[str, list[VideoRecord]] = defaultdict(list)
    for video in manifest.videos:
        if video.video_id in sha256:
            holders[sha256[video.video_id]].append(video)
    for videos in holders.values():
        if len(videos) > 1:
            names = ", ".join(video.video_id for video in videos[:_MAX_LISTED])
            leak = len({video.split for video in videos}) > 1
            text = f"{len(videos)} videos are the same file{', in different splits' if leak else ''}: {names}"
            yield Finding("error" if leak else "warning", "duplicate_media", text, videos[0].video_id)


def _check_splits(sizes: tuple[SplitSize, ...]) -> Iterator[Finding]:
    for size in sizes:
        if size.num_videos == 0:
            yield Finding("note", "empty_split", f"no video is in split {size.split}")


def _check_files(manifest: Manifest) -> Iterator[Finding]:
    listed = {video.path for video in manifest.videos}
    for video in manifest.videos:
        if not (manifest.root / video.path).is_file():
            text = f"{video.video_id} is listed, but {manifest.root / video.path} is not there"
            yield Finding("warning", "missing_file", text, video.video_id)
    for path in find_media(manifest.root, VIDEO_SUFFIXES):
        if path not in listed:
            text = f"{path.as_posix()} is not listed, so it is left out"
            yield Finding("note", "orphan_file", text)


def _size(manifest: Manifest, split: Split) -> SplitSize:
    videos = manifest.split(split).videos
    truths = {modality: [len(video.truth(modality)) for video in videos] for modality in STREAMS}
    audio, visual = (sum(num > 0 for num in truths[modality]) for modality in STREAMS)
    return SplitSize(
        split=split,
        num_videos=len(videos),
        num_forged=sum(video.is_forged for video in videos),
        num_forged_audio=audio,
        num_forged_visual=visual,
        num_segments=sum(len(video.truth()) for video in videos),
        num_identities=len({video.identity for video in videos if video.identity is not None}),
    )
