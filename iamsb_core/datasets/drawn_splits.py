"""Splits of a benchmark that has none of its own: the same in every copy, and no person in two of them.

Each person's split is drawn by the SHA-256 of their name: 70 % train, 10 % dev, 20 % test, whoever else is in the copy.
A file `splits.csv` in the root, with the columns `path` (or `identity`) and `split`, is used in its place, so that the
split of a paper can be followed.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from iamsb_core.datasets.fields import split_of
from iamsb_core.manifest import Split

SPLITS_FILE = "splits.csv"
_TRAIN_SHARE, _DEV_SHARE = 0.7, 0.1


def drawn_split(identity: str) -> Split:
    """The split of a person (or of anything else that must not be in two), by its name alone."""
    place = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    if place < _TRAIN_SHARE:
        return "train"
    return "dev" if place < _TRAIN_SHARE + _DEV_SHARE else "test"


class Splits:
    """The splits of a folder: as its splits.csv says, or drawn."""

    def __init__(self, root: Path) -> None:
        """Raises ValueError for a splits.csv with other columns, or another word for a split."""
        file = root / SPLITS_FILE
        self.are_drawn = not file.is_file()
        self._stated: dict[str, Split] = {} if self.are_drawn else _read(file)

    def of(self, path: str, identity: str) -> Split | None:
        """The split of a video; None where splits.csv names neither it nor the person, who is then left out."""
        if self.are_drawn:
            return drawn_split(identity)
        return self._stated.get(path, self._stated.get(identity))


def _read(file: Path) -> dict[str, Split]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, skipinitialspace=True)
        columns = set(rows.fieldnames or ())
        key = next((name for name in ("path", "identity") if name in columns), None)
        if key is None or "split" not in columns:
            raise ValueError(f"{file} must have the columns path (or identity) and split, got {', '.join(columns)}")
        return {
            row[key].strip(): split_of((row["split"] or "").strip(), f"{file.name}:{rows.line_num}") for row in rows
        }
