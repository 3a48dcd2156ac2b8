"""A committed pack as its metadata tells it: who made it, how its arrays lie, and which clips it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.rows import write_float32
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.media.clip import FrameView
from iamsb_core.media.perturbations.spec import PerturbationSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipRecord
from storage.errors import DamagedFeaturesError
from storage.keys import FORMAT, pack_digest
from storage.objects import Place
from storage.places import content_of
from storage.quantised import SCALES_SUFFIX
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
    arrays: dict[str, Place] = field(repr=False)
    """folders, by the names of the layouts"""
    offsets: dict[str, NDArray[np.int64]] = field(repr=False)
    files: dict[str, dict[str, Any]] = field(repr=False)

    def num_cells(self, name: str, position: int) -> int:
        """How many rows a clip has in the array."""
        first, last = self.offsets[name][position : position + 2].tolist()
        return int(last - first)

    def read(self, position: int, window: Segment | None, shards: OpenShards) -> EncodedTrack:
        """Features of an ok clip, whole or those of the cells whose centre lies in the window."""
        main = self._track(VALUES, self.stream.hop_seconds, position, window, shards)
        if FINE_VALUES not in self.layouts:
            return EncodedTrack(main)
        return EncodedTrack(main, self._track(FINE_VALUES, self.stream.fine_hop_seconds, position, window, shards))

    def write(self, name: str, position: int, cells: slice, out: NDArray[np.float32], shards: OpenShards) -> None:
        """Write these cells of an ok clip into out, (cells, dim), straight from where the shards hold them."""
        first = int(self.offsets[name][position])
        if cells.stop > self.num_cells(name, position):
            raise DamagedFeaturesError(str(self.folder), "it took the place of one whose clip was longer")
        rows = (first + cells.start, first + cells.stop)
        scales = None
        if (steps := name + SCALES_SUFFIX) in self.layouts:
            scales = shards.read_rows(self.arrays[steps], self.layouts[steps], *rows)
        done = 0
        for piece in shards.pieces(self.arrays[name], self.layouts[name], *rows):
            part = out[done : done + len(piece)]
            write_float32(piece, part)
            if scales is not None:
                part *= scales[done : done + len(piece)]
            done += len(piece)

    def spans(self, position: int) -> Iterator[tuple[Place, RaggedLayout, int, int]]:
        """Where a clip's rows lie: array, layout, first row, and the one after the last."""
        for name, layout in self.layouts.items():
            first, last = self.offsets[name.removesuffix(SCALES_SUFFIX)][position : position + 2].tolist()
            yield self.arrays[name], layout, first, last

    def _track(
        self, name: str, hop_seconds: float, position: int, window: Segment | None, shards: OpenShards
    ) -> FeatureTrack:
        grid = TimeGrid(hop_seconds, self.num_cells(name, position))
        cells = slice(0, grid.num_cells) if window is None else grid.cells(window)
        num_cells = max(0, cells.stop - cells.start)
        layout = self.layouts[name]
        if name + SCALES_SUFFIX in self.layouts:
            values: NDArray[np.floating[Any]] = np.empty((num_cells, layout.dim), np.float32)
            self.write(name, position, slice(cells.start, cells.start + num_cells), values, shards)
        else:
            first = int(self.offsets[name][position]) + cells.start
            values = shards.read_rows(self.arrays[name], layout, first, first + num_cells)
        return FeatureTrack(values, TimeGrid(hop_seconds, num_cells))


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
        arrays={name: folder / name for name in layouts},
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
