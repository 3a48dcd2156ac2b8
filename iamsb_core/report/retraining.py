"""What a retraining changed and why: of the data, of the settings, and of the model in use. A page and JSON.

The page is one self-contained HTML file, like a clip's report: no network, no script, readable on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from iamsb_core.metrics.promotion import Decision, PromotionRule
from iamsb_core.report import templates

MOST_NAMED = 20
"""videos of each kind of change that the page names; the JSON has all"""


@dataclass(frozen=True, kw_only=True)
class DataChanges:
    """How the videos that are trained on differ from those that the champion was trained on; ids in order."""

    num_videos: int
    known: bool
    """False where nothing is noted of the champion's data"""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """with other bytes, truth or split"""

    @classmethod
    def between(cls, before: Mapping[str, str] | None, now: Mapping[str, str]) -> DataChanges:
        """From the digests of videos by id; before is None where it is not known."""
        if before is None:
            return cls(num_videos=len(now), known=False)
        return cls(
            num_videos=len(now),
            known=True,
            added=tuple(sorted(now.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - now.keys())),
            changed=tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        )

    @property
    def named(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(kind of change, ids), of those that there are."""
        kinds = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return tuple((kind, names) for kind, names in kinds if names)


@dataclass(frozen=True, kw_only=True)
class RetrainReport:
    """One retraining that trained something."""

    at: str
    """UTC, ISO 8601"""
    datasets: tuple[str, ...]
    """name and place of each that was trained on"""
    outcome: str
    """promoted or kept"""
    message: str
    candidate: str
    champion: str
    """before; empty where there was none"""
    start: str
    """the model that the training went on from; empty: from scratch"""
    num_decoded: int
    """videos that had to be decoded: all others' features were there"""
    num_bad: int
    data: DataChanges
    settings: tuple[str, ...]
    """what differs from how the champion was trained, beside the data"""
    protocol: str
    rule: PromotionRule
    decision: Decision | None
    """None where there was nothing to compare with"""


def render_retraining(report: RetrainReport) -> str:
    """The page."""
    return (
        templates.environment()
        .get_template("retraining.html.jinja")
        .render(
            report=report,
            most=MOST_NAMED,
            style=templates.assets("report.css"),
            version=version("iamsb"),
        )
    )
