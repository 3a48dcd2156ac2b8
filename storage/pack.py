"""A committed pack as its metadata tells it: who made it, how its arrays lie, and which clips it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.media.clip import FrameView
from iamsb_core.media.perturbations.spec import PerturbationSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipRecord
from storage.errors import DamagedFeaturesError
from storage.keys import FORMAT, pack_digest
from storage.objects import Place
from storage.places import content_of
from storage.quantised import SCALES_SUFFIX, restored
from storage.ragged import RaggedLayout
from storage.seal import read_sealed
from storage.shards import OpenShards

VALUES, OFFSETS = "values", "offsets"
FINE_VALUES, FINE_OFFSETS = "fine_values", "fine_offsets"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pack:
    """What readers need of one pack, small enough to keep in memory for thousands of packs."""

    folder: Place
    """of its files: in object storage not where it has its name"""
    digest: str
    encoder: EncoderSpec
    stream: StreamSpec
    versions: dict[str, str]
    committed_unix_seconds: int
    keys: list[bytes] = field(repr=False)
    """media digests of the clips, in their order in the arrays"""
    statuses: list[str] = field(repr=False)
    duration_seconds: NDArray[np.float64] = field(repr=False)
    troubled: dict[int, ClipRecord] = field(repr=False)
    """the failed clips by position"""
    layouts: dict[str, RaggedLayout] = field(repr=False)
    offsets: dict[str, NDArray[np.int64]] = field(repr=False)
    files: dict[str, dict[str, Any]] = field(repr=False)

    def read(self, position: int, window: Segment | None, shards: OpenShards) -> EncodedTrack:
        """Features of an ok clip, whole or those of the cells whose centre lies in the window."""
        main = self._track(VALUES, self.stream.hop_seconds, position, window, shards)
        if FINE_VALUES not in self.layouts:
            return EncodedTrack(main)
        return EncodedTrack(main, self._track(FINE_VALUES, self.stream.fine_hop_seconds, position, window, shards))

    def _track(
        self, name: str, hop_seconds: float, position: int, window: Segment | None, shards: OpenShards
    ) -> FeatureTrack:
        first, last = (int(row) for row in self.offsets[name][position : position + 2])
        if window is not None:
            cells = TimeGrid(hop_seconds, last - first).cells(window)
            first, last = first + cells.start, first + max(cells.start, cells.stop)
        values = shards.read_rows(self.folder / name, self.layouts[name], first, last)
        if (steps := name + SCALES_SUFFIX) in self.layouts:
            values = restored(values, shards.read_rows(self.folder / steps, self.layouts[steps], first, last))
        return FeatureTrack(values, TimeGrid(hop_seconds, len(values)))


def load_pack(named: Place) -> Pack:
    """Read a pack's metadata by its name. Raises DamagedFeaturesError where it is not what was committed."""
    folder = named
    try:
        folder = content_of(named)
        attributes = read_sealed(folder)
        return _parse(folder, attributes)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFeaturesError(str(folder), str(error)) from error


def load_records(folder: Place) -> list[ClipRecord]:
    """The pack's whole clip table. Raises DamagedFeaturesError."""
    try:
        return [ClipRecord.from_plain(row) for row in read_sealed(folder)["clips"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFeaturesError(str(folder), str(error)) from error


def _parse(folder: Place, attributes: dict[str, Any]) -> Pack:
    if attributes["format"] != FORMAT:
        raise ValueError(f"its format is {attributes['format']!r}, this version reads {FORMAT!r}")
    rows: list[dict[str, Any]] = attributes["clips"]
    layouts = {name: RaggedLayout(**layout) for name, layout in attributes["arrays"].items()}
    offsets = {VALUES: _offsets(rows, "num_cells")}
    if FINE_VALUES in layouts:
        offsets[FINE_VALUES] = _offsets(rows, "fine_num_cells")
    return Pack(
        folder=folder,
        digest=attributes["pack_digest"],
        encoder=encoder_spec(attributes["encoder"]),
        stream=StreamSpec(**attributes["stream"]),
        versions=attributes["versions"],
        committed_unix_seconds=attributes["committed_unix_seconds"],
        keys=[bytes.fromhex(row["sha256"]) for row in rows],
        statuses=[row["status"] for row in rows],
        duration_seconds=np.array([row.get("duration_seconds", 0.0) for row in rows], dtype=np.float64),
        troubled={i: ClipRecord.from_plain(row) for i, row in enumerate(rows) if row["status"] == "failed"},
        layouts=layouts,
        offsets=offsets,
        files=attributes["files"],
    )


def _offsets(rows: list[dict[str, Any]], count: str) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([row.get(count, 0) for row in rows], dtype=np.int64)]).astype(np.int64)


def encoder_spec(data: dict[str, Any]) -> EncoderSpec:
    """The reverse of `plain` for an encoder's spec. Raises TypeError for an unknown field."""
    view = data.get("view")
    perturbations = tuple(PerturbationSpec(**one) for one in data.get("perturbations", ()))
    return EncoderSpec(**{**data, "view": None if view is None else FrameView(**view), "perturbations": perturbations})


def misnamed(pack: Pack) -> bool:
    """Whether the folder's name is not the digest of what the metadata says."""
    records = load_records(pack.folder)
    dtype = pack.layouts[VALUES].dtype
    return pack.digest != pack.folder.stem or pack_digest(pack.stream, dtype, records) != pack.digest
