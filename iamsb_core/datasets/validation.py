"""What is wrong with a dataset, found before hours are spent on it.

An error makes training or its numbers wrong; a warning is something to know; a note needs nothing done. Every check
is a few operations on arrays (`checks.columns`), so that a million videos take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.checks.columns import Columns, columns
from iamsb_core.datasets.checks.duplicates import check_duplicates
from iamsb_core.datasets.checks.files import check_files
from iamsb_core.datasets.checks.findings import MAX_INSTANCES, SEVERITIES, Finding, Severity
from iamsb_core.datasets.checks.identities import check_identities
from iamsb_core.datasets.checks.media import Probes, check_durations, check_media, nearest_seconds
from iamsb_core.datasets.checks.repairs import check_repairs
from iamsb_core.datasets.checks.segments import check_segments
from iamsb_core.datasets.checks.sizes import SplitSize, check_sizes, split_sizes
from iamsb_core.datasets.published import PUBLISHED, Published
from iamsb_core.datasets.statistics import Histogram, histograms, media_histograms
from iamsb_core.manifest import Manifest
from iamsb_core.media.clip import MediaProbe

FORMAT = "iamsb-dataset-check/1"
_MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """All findings, errors first, and what the dataset is like. `iamsb_core.digest.plain` makes it JSON data."""

    format: str
    name: str
    root: str
    num_videos: int
    num_probed: int
    """files that were read; 0 where only the list was checked"""
    splits: tuple[SplitSize, ...]
    published: Published | None
    """what the benchmark's makers publish; None where that is not known"""
    findings: tuple[Finding, ...]
    listed_at_most: int
    """places that a finding lists; its `count` is exact"""
    histograms: tuple[Histogram, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def raise_for_errors(self) -> None:
        """Raises ValueError with the errors, an example of each and what to do, where there are any."""
        errors = self.of("error")
        if errors:
            shown = "; ".join(_in_words(error) for error in errors[:_MAX_SHOWN])
            more = f"; and {len(errors) - _MAX_SHOWN} more kinds" if len(errors) > _MAX_SHOWN else ""
            raise ValueError(
                f"{self.name} at {self.root} cannot be used as it is: {shown}{more}. "
                f"`iamsb dataset check {self.name} {self.root}` lists all of it; mend the dataset and run again"
            )


def validate(
    manifest: Manifest,
    *,
    durations: Mapping[str, float] | None = None,
    probes: Probes | None = None,
    look_at_files: bool = True,
    progress: Callable[[int], None] | None = None,
) -> ValidationReport:
    """Check every record, and the splits against one another.

    durations: by video_id, as decoded. probes: what probing the files gave; they count more than what is stated.
    look_at_files: also look for listed files that are absent, and files that are not listed; progress is told now and
    then how many files were seen.
    """
    probes = {} if probes is None else probes
    table = columns(manifest)
    decoded = _decoded(table, {} if durations is None else durations, probes)
    best = np.where(np.isnan(decoded), table.durations_seconds, decoded)
    published = PUBLISHED.get(manifest.name)
    sizes = split_sizes(table)
    read = {name: probe for name, probe in probes.items() if isinstance(probe, MediaProbe)}
    findings = [
        *check_repairs(manifest.repairs),
        *check_segments(table, best, probed=bool(probes)),
        *check_durations(table, _nearest(table, decoded, read)),
        *check_identities(table, published),
        *check_duplicates(table, {name: probe.sha256 for name, probe in read.items()}),
        *check_sizes(sizes, published),
        *(check_files(table, manifest.root, progress) if look_at_files else ()),
        *(check_media(table, probes, published) if probes else ()),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return ValidationReport(
        format=FORMAT,
        name=manifest.name,
        root=str(manifest.root),
        num_videos=len(table),
        num_probed=len(read),
        splits=sizes,
        published=published,
        findings=tuple(findings),
        listed_at_most=MAX_INSTANCES,
        histograms=histograms(table, best) + (media_histograms(read.values()) if read else ()),
    )


def _decoded(table: Columns, durations: Mapping[str, float], probes: Probes) -> NDArray[np.float64]:
    """(N,) seconds as decoded or probed, NaN where neither was done."""
    found = np.full(len(table), np.nan)
    if durations or probes:
        for row, video in enumerate(table.videos):
            probe = probes.get(video.video_id)
            if isinstance(probe, MediaProbe):
                found[row] = probe.duration_seconds
            else:
                found[row] = durations.get(video.video_id, np.nan)
    return found


def _nearest(table: Columns, decoded: NDArray[np.float64], read: Mapping[str, MediaProbe]) -> NDArray[np.float64]:
    """(N,) as decoded, but the picture's own length where that is what was stated."""
    if not read:
        return decoded
    nearest = decoded.copy()
    for row, video in enumerate(table.videos):
        if video.video_id in read:
            nearest[row] = nearest_seconds(video.duration_seconds, read[video.video_id])
    return nearest


def _in_words(error: Finding) -> str:
    example = f", such as {error.example}" if error.example else ""
    return f"{error.message}{example} ({error.advice})"
