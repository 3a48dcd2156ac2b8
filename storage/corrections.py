"""What analysts say of a model's findings, kept as a dataset that can be trained on.

    corrections/
      history/<sha256>/0001.json   every correction of that file: who, when, of which model, each segment
      manifest.jsonl               the newest complete one of each file, as `iamsb_core.datasets.generic` reads it
      media/<sha256>.mp4           those files: links to the desk's own, or copies on another disk

`iamsb train generic <home>/desk/corrections` trains on it, `retrain` too.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.timeline import Segment, merge_segments
from storage.keys import checked_sha256
from storage.staging import exclusive, write_atomically

FOLDER = "corrections"
MANIFEST_FILE = "manifest.jsonl"
DEV_EVERY = 5
"""of this many files one is a dev clip, the second first: `retrain` compares models on those"""
_LOCK_FILE = "corrections.lock"
_TOLERANCE_SECONDS = 1e-3
_MOST_JUDGEMENTS, _MOST_CHARACTERS = 10_000, 2_000

StreamName = Literal["audio", "visual"]
Split = Literal["train", "dev"]
Decision = Literal["confirmed", "wrong", "adjusted", "added"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of one segment. Raises ValueError where its parts contradict one another."""

    stream: StreamName
    decision: Decision
    found: tuple[float, float] | None = None
    """start and end seconds as the model said; None for an added segment"""
    truth: tuple[float, float] | None = None
    """start and end seconds as they are; None for a wrong one"""

    def __post_init__(self) -> None:
        if (self.found is None) != (self.decision == "added") or (self.truth is None) != (self.decision == "wrong"):
            raise ValueError(
                f"a {self.decision} segment: `found` is what the model said (all but added), `truth` what is so (all "
                f"but wrong), got found {self.found} and truth {self.truth}"
            )
        for times in (self.found, self.truth):
            if times is not None:
                Segment(*times)
        if self.decision == "confirmed" and self.found != self.truth:
            raise ValueError(f"a confirmed segment stays as it is, got {self.found} and {self.truth}; call it adjusted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One analyst's word on one file. Raises ValueError for a segment beyond the file's end, or nobody's name."""

    sha256: str
    name: str
    duration_seconds: float
    """as decoded"""
    judgements: tuple[Judgement, ...]
    complete: bool
    """whether these are all forged segments of the file; only then is it trained on"""
    by: str
    at: str
    """ISO 8601 with its zone"""
    model: str
    """URI of the model whose findings were judged"""
    model_sha256: str
    note: str = ""
    split: Split = "train"
    """given when the file is first corrected, and kept"""

    def __post_init__(self) -> None:
        checked_sha256(self.sha256, "a file's digest")
        if not self.by.strip():
            raise ValueError("say who corrects: the name is empty")
        if len(self.judgements) > _MOST_JUDGEMENTS or max(len(self.by), len(self.note)) > _MOST_CHARACTERS:
            raise ValueError(f"at most {_MOST_JUDGEMENTS} segments, and {_MOST_CHARACTERS} characters of text")
        for each in self.judgements:
            if each.truth is not None and each.truth[1] > self.duration_seconds + _TOLERANCE_SECONDS:
                raise ValueError(
                    f"the segment from {each.truth[0]:g} to {each.truth[1]:g} s ends after the file, which is "
                    f"{self.duration_seconds:g} s long"
                )

    def truth(self, stream: StreamName) -> tuple[tuple[float, float], ...]:
        """The forged segments of one stream, disjoint and in order."""
        times = [each.truth for each in self.judgements if each.stream == stream and each.truth is not None]
        merged = merge_segments(np.asarray(times, dtype=np.float64).reshape(-1, 2))
        return tuple((start, min(end, self.duration_seconds)) for start, end in merged.tolist())


class Corrections:
    """The corrections of one desk; several processes may write."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER

    def save(self, correction: Correction, media: Path) -> Correction:
        """Keep a correction as the newest of its file, and write the dataset anew; as it was kept, with its split.

        An incomplete one takes its file out of the dataset until a complete one follows: somebody is in doubt.
        """
        with exclusive(self.folder / _LOCK_FILE):
            earlier = self.history(correction.sha256)
            kept = replace(correction, split=earlier[-1].split if earlier else self._next_split())
            if kept.complete:
                self._take_in(media, kept)
            text = json.dumps(plain(kept), ensure_ascii=True, indent=1) + "\n"
            write_atomically(self._history_folder(kept.sha256) / f"{len(earlier) + 1:04d}.json", text.encode())
            lines = (json.dumps(manifest_entry(each)) + "\n" for each in self.all() if each.complete)
            write_atomically(self.folder / MANIFEST_FILE, "".join(lines).encode())
        return kept

    def history(self, sha256: str) -> tuple[Correction, ...]:
        """Every correction of a file, the newest last. Raises ValueError for one that is damaged."""
        return tuple(map(_read, self._records(sha256)))

    def latest(self, sha256: str) -> Correction | None:
        """The newest correction of a file."""
        records = self._records(sha256)
        return _read(records[-1]) if records else None

    def all(self) -> tuple[Correction, ...]:
        """The newest correction of each file, in order of their digests."""
        folders = sorted((self.folder / "history").glob("*"))
        return tuple(found for found in (self.latest(each.name) for each in folders) if found is not None)

    def _records(self, sha256: str) -> list[Path]:
        return sorted(self._history_folder(sha256).glob("[0-9]*.json"))

    def _history_folder(self, sha256: str) -> Path:
        return self.folder / "history" / checked_sha256(sha256, "a file's digest")

    def _next_split(self) -> Split:
        return "dev" if len(self.all()) % DEV_EVERY == 1 else "train"

    def _take_in(self, media: Path, correction: Correction) -> None:
        """Put the file into the dataset's own folder, which then stands by itself."""
        place = self.folder / _media_path(correction)
        if place.is_file():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = place.with_name(f".{place.name}.part")
        staged.unlink(missing_ok=True)
        try:
            os.link(media, staged)
        except OSError:  # another disk, or one without links
            shutil.copyfile(media, staged)
        staged.replace(place)


def manifest_entry(correction: Correction) -> dict[str, Any]:
    """What the dataset's manifest says of a complete correction."""
    streams: tuple[StreamName, ...] = ("audio", "visual")
    return {
        "id": correction.sha256,
        "path": _media_path(correction),
        "split": correction.split,
        "duration": correction.duration_seconds,
        "forgeries": [
            {"start": start, "end": end, "modality": stream}
            for stream in streams
            for start, end in correction.truth(stream)
        ],
        "corrected_by": correction.by,
        "corrected_at": correction.at,
        "corrected_model": correction.model,
    }


def _media_path(correction: Correction) -> str:
    """Named by content: what people call the file need not be a name on every system."""
    suffix = Path(correction.name).suffix
    return f"media/{correction.sha256}{suffix if suffix.isascii() and suffix[1:].isalnum() else ''}"


def _read(path: Path) -> Correction:
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and the one before it counts again") from None
    return parse(Correction, data, where=str(path))
