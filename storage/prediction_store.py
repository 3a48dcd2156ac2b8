"""Predictions as one JSON file, named by its content, which other tools can read too.

    {"format": "iamsb-predictions-v1", "model": "...", "dataset": "...", "split": "...",
     "predictions": {"<video_id>": {"duration_seconds": 4.2, "clip_score": 0.97,
         "audio": [[score, start seconds, end seconds], ...], "visual": [...], "fused": [...], "evidence": {...}}}}

Lists are by falling score. Numbers are the shortest that give back the same float32.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.digest import plain
from iamsb_core.localization.proposals import ClipProposals, Proposals, sorted_proposals
from storage.refs import PredictionRef
from storage.staging import write_atomically

FORMAT = "iamsb-predictions-v1"
LISTS = ("audio", "visual", "fused")


@dataclass(frozen=True)
class StoredPredictions:
    """A file of predictions: who said it, of what, and what."""

    model: str
    """URI or digest of the model"""
    dataset: str
    split: str
    predictions: dict[str, ClipProposals]


class PredictionStore:
    """Prediction files in one folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def write(
        self,
        predictions: Mapping[str, ClipProposals],
        *,
        model: str,
        dataset: str,
        split: str = "",
        compress: bool = False,
    ) -> PredictionRef:
        """Store predictions; the same content has the same name and is stored once."""
        text = to_json(StoredPredictions(model, dataset, split, dict(predictions))).encode()
        sha256 = hashlib.sha256(text).hexdigest()
        path = self.root / f"{sha256}.json{'.gz' if compress else ''}"
        write_atomically(path, gzip.compress(text, mtime=0) if compress else text)
        return PredictionRef(path=str(path), sha256=sha256, num_videos=len(predictions))

    def read(self, ref: PredictionRef) -> StoredPredictions:
        """The predictions of a ref. Raises ValueError where the file has other content than the ref says."""
        text = _text(Path(ref.path))
        if hashlib.sha256(text).hexdigest() != ref.sha256:
            raise ValueError(f"{ref.path} was changed after it was written; evaluate the model again")
        return from_json(text, ref.path)


def read_predictions(path: Path) -> StoredPredictions:
    """Any file in the format. Raises ValueError where it is missing or is something else."""
    return from_json(_text(path), str(path))


def to_json(stored: StoredPredictions) -> str:
    """The file's text; videos by name, so that the same predictions give the same bytes."""
    rows = {name: clip_row(stored.predictions[name]) for name in sorted(stored.predictions)}
    header = {"format": FORMAT, "model": stored.model, "dataset": stored.dataset, "split": stored.split}
    return json.dumps({**header, "predictions": rows}, allow_nan=False)


def from_json(text: bytes, where: str) -> StoredPredictions:
    """The reverse of `to_json`; `where` names the file in messages. Raises ValueError."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']!r}")
        clips = {name: _clip(name, row) for name, row in data["predictions"].items()}
        return StoredPredictions(data.get("model", ""), data.get("dataset", ""), data.get("split", ""), clips)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{where} does not hold predictions ({FORMAT}): {what}") from error


def _text(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise ValueError(f"cannot read predictions from {path}: {error}") from error


def clip_row(clip: ClipProposals) -> dict[str, Any]:
    """One clip as in the file: JSON data."""
    lists = {name: _list(getattr(clip, name)) for name in LISTS}
    evidence = {"evidence": plain(dict(clip.evidence))} if clip.evidence else {}
    return {"duration_seconds": clip.duration_seconds, "clip_score": clip.clip_score, **lists, **evidence}


def _list(proposals: Proposals) -> list[list[float]]:
    return [[_short(score), _short(start), _short(end)] for start, end, score in sorted_proposals(proposals)]


def _short(number: np.float32) -> float:
    """The float whose shortest text gives back the same float32."""
    return float(str(number))


def _clip(video_id: str, row: dict[str, Any]) -> ClipProposals:
    lists = {}
    for name in LISTS:
        rows = np.asarray(row[name], dtype=np.float32).reshape(-1, 3)
        lists[name] = sorted_proposals(rows[:, [1, 2, 0]])
    return ClipProposals(
        video_id=video_id,
        duration_seconds=float(row["duration_seconds"]),
        clip_score=float(row["clip_score"]),
        evidence=row.get("evidence", {}),
        **lists,
    )
