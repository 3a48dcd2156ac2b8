"""Reading predictions from the files that the field exchanges.

* `{"file": [[score, start, end], ...], ...}`: LAV-DF (times in frames), AV-Deepfake1M and DDL-AV (seconds);
* `{"format": "iamsb-predictions-v1", "predictions": {...}}`: ours, with each stream and the clip's score, in seconds;
* lines `file;score` (1M-Deepfakes) or `file,score` (DDL-AV): clip scores only.

All may be gzipped. What a list may lack is mended and told; see `iamsb_core.metrics.policy`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.clip_lists import EVERYTHING, Contents, best_score
from iamsb_core.metrics.fast_json import read_plain_rows
from iamsb_core.metrics.packed import mended, pack
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy

PREDICTIONS_FORMAT = "iamsb-predictions-v1"
_LISTS = ("audio", "visual", "fused")
_JSON = re.compile(rb"\s*[\[{]")


@dataclass(frozen=True)
class PredictionFile:
    """What a file says of each clip, and which parts of that it says at all."""

    clips: dict[str, ClipProposals]
    contents: Contents
    warnings: tuple[str, ...] = ()


def read_predictions(path: Path | str, *, file_hz: float = 1.0, policy: Policy = DEFAULT_POLICY) -> PredictionFile:
    """The predictions of a file; the times of plain `{"file": rows}` files are divided by file_hz.

    Lists are by falling score unless the policy wants them as they are. A clip's score is its best proposal's where
    the file has no clip scores. Raises ValueError, with the place, for a file that cannot be read, is none of the
    above, or holds rows that are not [score, start, end].
    """
    path = Path(path)
    data = file_bytes(path)
    if not _JSON.match(data):
        return _from_lines(data, path)
    rows = read_plain_rows(data)
    if rows is not None:
        del data  # large, and the rows are all that is needed
        return _from_flat(*rows, file_hz, policy)
    document = _document(data, path)
    if document.get("format") == PREDICTIONS_FORMAT:
        return _from_own(document, path, policy)
    if "format" in document:
        raise ValueError(f"{path} is of format {document['format']!r}; wanted {PREDICTIONS_FORMAT!r}, or no format")
    lists = [_rows(value, f"{path}: {name!r}") for name, value in document.items()]
    flat = np.concatenate([*lists, np.empty((0, 3), dtype=np.float32)])
    return _from_flat(list(document), [len(rows) for rows in lists], flat, file_hz, policy)


def file_bytes(path: Path) -> bytes:
    """The file's text, unpacked where it is gzipped. Raises ValueError where it cannot be read."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise ValueError(f"cannot read predictions from {path}: {error}") from None


def _document(data: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); it may be cut short: write it again") from None
    if not isinstance(document, dict):
        raise ValueError(f'{path} must be an object such as {{"file": [[score, start, end], ...]}}, got a list')
    return document


def _rows(value: Any, where: str) -> NDArray[np.float32]:
    """(N, 3) score, start, end; null becomes NaN. `[]` and `[[]]` are no rows."""
    if value in ([], [[]]):
        return np.empty((0, 3), dtype=np.float32)
    try:
        rows = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError):
        rows = np.empty(0, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(f"{where} must be a list of [score, start, end], got {value!r:.80}")
    return rows


def _from_flat(
    names: Sequence[str], counts: Sequence[int], rows: NDArray[np.float32], hz: float, policy: Policy
) -> PredictionFile:
    """Clips with fused lists only, out of all rows (score, start, end) one after the other."""
    warnings: list[str] = []
    if len(set(names)) < len(names):
        warnings.append(f"{len(names) - len(set(names))} clips are listed twice; the last list of each counts")
    # score, start, end becomes start, end, score; the division in float32 is the official evaluator's
    proposals = np.stack([rows[:, 1] / np.float32(hz), rows[:, 2] / np.float32(hz), rows[:, 0]], axis=1)
    del rows
    kept, left, list_warnings = mended(proposals, np.asarray(counts, dtype=np.int64), policy)
    fused = _split(kept, left.tolist())
    none = np.empty((0, 3), dtype=np.float32)
    clips = {
        name: ClipProposals(name, math.nan, none, none, found, best_score(found))
        for name, found in zip(names, fused, strict=True)
    }
    return PredictionFile(clips, Contents(streams=False, clip_scores=False), (*warnings, *list_warnings))


def _from_own(document: Mapping[str, Any], path: Path, policy: Policy) -> PredictionFile:
    entries = document.get("predictions")
    if not isinstance(entries, dict):
        raise ValueError(f"{path} has no object 'predictions' by video id; write it again")
    lists: dict[str, list[NDArray[np.float32]]] = {name: [] for name in _LISTS}
    for video_id, entry in entries.items():
        where = f"{path}: {video_id!r}"
        if not isinstance(entry, dict):
            raise ValueError(f"{where} must be an object, got {entry!r:.80}")
        for name in _LISTS:
            lists[name].append(_rows(entry.get(name), f"{where}, {name!r}")[:, [1, 2, 0]])
    cleaned = {name: _clean(found, policy) for name, found in lists.items()}
    clips = {
        video_id: ClipProposals(
            video_id=video_id,
            duration_seconds=_number(entry, "duration_seconds", f"{path}: {video_id!r}"),
            clip_score=_number(entry, "clip_score", f"{path}: {video_id!r}"),
            evidence=entry.get("evidence") or {},
            **{name: cleaned[name][0][index] for name in _LISTS},
        )
        for index, (video_id, entry) in enumerate(entries.items())
    }
    warnings = tuple(f"{name}: {text}" for name in _LISTS for text in cleaned[name][1])
    return PredictionFile(clips, EVERYTHING, warnings)


def _number(entry: Mapping[str, Any], name: str, where: str) -> float:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: {name!r} must be a number, got {value!r:.80}")
    return float(value)


def _from_lines(data: bytes, path: Path) -> PredictionFile:
    """`file;score` or `file,score`, one clip a line, no header."""
    none = np.empty((0, 3), dtype=np.float32)
    clips: dict[str, ClipProposals] = {}
    num_lines = 0
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        num_lines += 1
        name, _, text = line.strip().rpartition(";" if ";" in line else ",")
        try:
            score = float(text if name.strip() else "no name")
        except ValueError:
            raise ValueError(
                f"{path}:{number} must be a file name, a semicolon or comma, and a score, got {line!r:.80}"
            ) from None
        clips[name.strip()] = ClipProposals(name.strip(), math.nan, none, none, none, score)
    warnings = []
    if num_lines > len(clips):
        warnings.append(f"{num_lines - len(clips)} clips are listed twice; the last score of each counts")
    return PredictionFile(clips, Contents(segments=False, streams=False), tuple(warnings))


def _split(rows: NDArray[np.float32], counts: Sequence[int]) -> list[NDArray[np.float32]]:
    """One view a clip."""
    edges = [0, *np.cumsum(counts, dtype=np.int64).tolist()]
    return [rows[start:stop] for start, stop in pairwise(edges)]


def _clean(lists: Sequence[NDArray[np.float32]], policy: Policy) -> tuple[list[NDArray[np.float32]], tuple[str, ...]]:
    """As the policy wants them, with what had to be done for it."""
    packed = pack([np.empty((0, 2))] * len(lists), lists, policy)
    return _split(packed.proposals, np.diff(packed.proposal_offsets).tolist()), packed.warnings
