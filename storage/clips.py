"""One clip of a feature pack: its row in the pack's table, and the features that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack

ClipStatus = Literal["ok", "absent", "failed"]

RETRIED_KINDS = frozenset({"timeout", "memory", "crashed", "disk-full"})
"""Failures that may have been the machine's fault and not the file's: these clips are always tried again."""

HINT_FIELDS = frozenset({"video_id", "path", "reader", "warnings"})
"""The fields of a record that do not count in its identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRecord:
    """A row of a pack's clip table: what became of one media file in one stream."""

    sha256: str
    """digest of the media's bytes: the clip's only identity"""
    status: ClipStatus
    """ok: features stored; absent: the clip has no such stream; failed: `kind` and `reason` say why"""
    duration_seconds: float = 0.0
    """as decoded; 0 where decoding failed"""
    num_cells: int = 0
    fine_num_cells: int = 0
    video_id: str = ""
    """a hint for people: the same bytes may have other names elsewhere"""
    path: str = ""
    """a hint for people, relative to the manifest's root"""
    reader: str = ""
    warnings: tuple[str, ...] = ()
    kind: str = ""
    reason: str = ""

    @property
    def is_retried(self) -> bool:
        """Whether every extraction tries this clip again."""
        return self.status == "failed" and self.kind in RETRIED_KINDS

    def to_plain(self) -> dict[str, Any]:
        """JSON data, without the fields that say nothing."""
        return {name: value for name, value in plain(self).items() if value not in ("", [], 0)}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> ClipRecord:
        """The reverse of `to_plain`. Raises TypeError for an unknown field."""
        return cls(**{**data, "warnings": tuple(data.get("warnings", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipEntry:
    """What extraction hands to the store for one clip and one stream."""

    record: ClipRecord
    track: EncodedTrack | None = None
    """where the record's status is ok"""

    @classmethod
    def encoded(cls, sha256: str, track: EncodedTrack, duration_seconds: float, **hints: Any) -> ClipEntry:
        """A clip with features. Hints are the record's video_id, path, reader and warnings."""
        record = ClipRecord(
            sha256=sha256,
            status="ok",
            duration_seconds=duration_seconds,
            num_cells=track.main.grid.num_cells,
            fine_num_cells=0 if track.fine is None else track.fine.grid.num_cells,
            **hints,
        )
        return cls(record=record, track=track)

    @classmethod
    def absent(cls, sha256: str, duration_seconds: float, **hints: Any) -> ClipEntry:
        """A clip that has no such stream."""
        return cls(record=ClipRecord(sha256=sha256, status="absent", duration_seconds=duration_seconds, **hints))

    @classmethod
    def failed(cls, sha256: str, *, kind: str, reason: str, **hints: Any) -> ClipEntry:
        """A clip that cannot be used: one word of why (as DecodeError.kind) and the whole message."""
        return cls(record=ClipRecord(sha256=sha256, status="failed", kind=kind, reason=reason, **hints))
