"""How fast a trainer gets its features, beside one .npy per clip and beside the disk's own pace; and what they take.

    python tests/benchmarks/bench_feature_reads.py [--clips 96] [--rounds 5] [--folder DIR]

Clips lie in random order, of two kinds: WavLM-large's 1024 numbers at 50 Hz for about 8.6 s, as LAV-DF's, and 240 at
50 Hz for about 5 s, as handcrafted features are. All ways take turns in every round, in three states: `cold` (the pages
of all files dropped, the store opened anew), `first` (pages in memory, the store opened anew: it maps its files and
checks every chunk) and `warm` (as in later epochs). Cold by the kernel's leave: `resident_share` says what it kept.

`batches`: what a training step needs, padded float32 batches of 16 clips. `store` is the loader's own way,
`store_int8` the same from a store of bytes. `npy` is np.load and NumPy's assignment into a new batch, as most loaders
do it; `npy_same_padding` is np.load into our padding, which reuses memory and converts halves by torch: against it the
store has nothing but its reading to gain by. `halves_in_memory` is that padding alone, from arrays that are there
already: what no way of reading can beat. `sequential` reads the store's files in order and makes nothing of them.

`arrays`: what one read gives, whole clips in arrays of their own, and windows of 2 s of them.

A ratio says how many times longer the first takes than the second. The targets are 3 for `npy_over_store` and 0.7 for
`sequential_over_store`. Last come megabytes for an hour of video in every kind of number that a store keeps, and of
float16 under zstandard, which no store uses: it saves little on features that vary as these do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numcodecs
import numpy as np
import torch
import zarr
from harness import finish, machine, median_ratio, parser

from iamsb_core.data.collate import padded
from iamsb_core.data.rows import TrackRows
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.keys import pack_folder
from storage.pack_writer import StoreDtype

HOP_SECONDS, CLIPS_PER_PACK, BATCH = 0.02, 64, 16
WINDOW = Segment(1.0, 3.0)
STATES = ("cold", "first", "warm")
SPEC = EncoderSpec(name="handcrafted-audio", weights_digest="benchmark")
PROBE_BYTES = 64 << 10


@dataclass(frozen=True)
class Kind:
    """Features of one width, of clips of some lengths."""

    dim: int
    fewest_cells: int
    most_cells: int

    @property
    def stream(self) -> StreamSpec:
        return StreamSpec(encoder_identity=SPEC.identity, dim=self.dim, hop_seconds=HOP_SECONDS)

    def clip(self, index: int) -> np.ndarray:
        """(num_cells, dim) float16 that moves slowly, as features of speech do."""
        rng = np.random.default_rng(index)
        num_cells = int(rng.integers(self.fewest_cells, self.most_cells))
        slow = np.repeat(rng.standard_normal((num_cells // 5 + 1, self.dim), dtype=np.float32), 5, axis=0)[:num_cells]
        return (slow + 0.3 * rng.standard_normal((num_cells, self.dim), dtype=np.float32)).astype(np.float16)

    def entries(self, clips: Iterable[int]) -> Iterator[ClipEntry]:
        for index in clips:
            values = self.clip(index)
            track = EncodedTrack(FeatureTrack(values, TimeGrid(HOP_SECONDS, len(values))))
            yield ClipEntry.encoded(sha(index), track, len(values) * HOP_SECONDS)


KINDS = {"wavlm_large": Kind(1024, 250, 610), "handcrafted": Kind(240, 200, 300)}


def sha(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


@dataclass
class Library:
    """The same clips in a store of halves, in one of bytes, and one .npy each."""

    kind: Kind
    folder: Path
    order: list[int]

    def fill(self, num_clips: int) -> None:
        arrays = self.folder / "npy"
        arrays.mkdir()
        for index in range(num_clips):
            np.save(arrays / f"{index}.npy", self.kind.clip(index))
        for dtype in ("float16", "int8"):
            store = FeatureStore(self.folder / dtype, dtype=dtype)
            for first in range(0, num_clips, CLIPS_PER_PACK):
                clips = range(first, min(first + CLIPS_PER_PACK, num_clips))
                store.commit(self.kind.stream, SPEC, self.kind.entries(clips))

    def opened(self) -> None:
        """The stores as a new process has them once it knows what they hold; no file of features is open."""
        self.stores = {dtype: FeatureStore(self.folder / dtype) for dtype in ("float16", "int8")}
        for store in self.stores.values():
            store.packs(SPEC.identity)

    @property
    def shards(self) -> list[Path]:
        return sorted((self.folder / "float16").glob("v1/*/*.zarr/values/c/*/0"))

    def npy(self, index: int) -> np.ndarray:
        return np.load(self.folder / "npy" / f"{index}.npy")

    def batches(self) -> list[list[int]]:
        return [self.order[first : first + BATCH] for first in range(0, len(self.order), BATCH)]


def batch_ways(library: Library) -> dict[str, Callable[[], None]]:
    """Each gives every clip once, in padded batches."""
    dim = library.kind.dim
    held = {index: library.kind.clip(index) for index in library.order}

    def track(values: np.ndarray) -> TrackRows:
        return TrackRows(FeatureTrack(values, TimeGrid(HOP_SECONDS, len(values))))

    def from_store(dtype: str) -> None:
        store, batches = library.stores[dtype], library.batches()
        store.expect(SPEC.identity, map(sha, batches[0]))
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            store.expect(SPEC.identity, map(sha, following))
            found = [store.locate(SPEC.identity, sha(index)) for index in batch]
            padded([None if clip is None else clip.track.main for clip in found], dim)

    def from_npy() -> None:
        for batch in library.batches():
            arrays = [library.npy(index) for index in batch]
            values = np.zeros((len(arrays), max(map(len, arrays)), dim), np.float32)
            for row, array in enumerate(arrays):
                values[row, : len(array)] = array
            torch.from_numpy(values)

    def into_our_padding(read: Callable[[int], np.ndarray]) -> None:
        for batch in library.batches():
            padded([track(read(index)) for index in batch], dim)

    return {
        "store": lambda: from_store("float16"),
        "store_int8": lambda: from_store("int8"),
        "npy": from_npy,
        "npy_same_padding": lambda: into_our_padding(library.npy),
        "halves_in_memory": lambda: into_our_padding(held.__getitem__),
        "sequential": lambda: read_in_order(library.shards),
    }


def array_ways(library: Library) -> dict[str, Callable[[], None]]:
    """Each gives every clip once, as an array."""
    through_zarr = zarr_reader(library)

    def each(read: Callable[[int], Any]) -> Callable[[], None]:
        return lambda: [read(index) for index in library.order] and None

    return {
        "store": each(lambda index: library.stores["float16"].read(SPEC.identity, sha(index))),
        "store_window_2s": each(lambda index: library.stores["float16"].read(SPEC.identity, sha(index), WINDOW)),
        "npy": each(library.npy),
        "zarr_python": each(through_zarr),
        "sequential": lambda: read_in_order(library.shards),
    }


def zarr_reader(library: Library) -> Callable[[int], Any]:
    """Clips through zarr's own reader."""
    store = FeatureStore(library.folder / "float16")
    places = {}
    for pack in store.packs(SPEC.identity):
        group = zarr.open_group(str(pack_folder(store.root, SPEC.identity, pack.digest)), mode="r", zarr_format=3)
        ends = group["offsets"][:]
        places |= {key.hex(): (group["values"], ends[i], ends[i + 1]) for i, key in enumerate(pack.keys)}

    def read(index: int) -> Any:
        values, first, last = places[sha(index)]
        return values[first:last]

    return read


def read_in_order(files: list[Path]) -> None:
    buffer = bytearray(8 << 20)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def drop_pages(folder: Path) -> None:
    """Ask the kernel to forget the files' pages; it keeps those of a file that is mapped."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def resident_share(files: list[Path]) -> float:
    """Which share of some bytes of the files can be read without the disk."""
    found: list[bool] = []
    for path in files:
        with path.open("rb", buffering=0) as file:
            found += [_is_resident(file.fileno(), place) for place in range(0, path.stat().st_size, PROBE_BYTES)]
    return round(sum(found) / len(found), 3)


def _is_resident(descriptor: int, position: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], position, os.RWF_NOWAIT) == 1
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        raise


def measured(library: Library, ways: Mapping[str, Callable[[], None]], state: str, num_rounds: int) -> dict[str, Any]:
    """Milliseconds a clip, by the clock and by the processor, and the ratios to the store; ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    kept = []
    for number in range(num_rounds + 1):  # the first one fills what is to be warm, and is not counted
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            if state != "warm" or number == 0:
                library.opened()
            if state == "cold":
                drop_pages(library.folder)
                kept.append(resident_share(library.shards))
            began, spent = time.perf_counter(), time.process_time()
            ways[name]()
            spent, began = time.process_time() - spent, time.perf_counter() - began
            if number > 0:
                seconds[name].append(began / len(library.order))
                processor[name].append(spent / len(library.order))
    found = {
        "milliseconds_per_clip": {name: round(1e3 * median(taken), 4) for name, taken in seconds.items()},
        "processor_milliseconds_per_clip": {name: round(1e3 * median(taken), 4) for name, taken in processor.items()},
        "over_store": {name: median_ratio(taken, seconds["store"]) for name, taken in seconds.items()},
        "over_store_by_processor": {name: median_ratio(taken, processor["store"]) for name, taken in processor.items()},
    }
    return found | ({"resident_share": max(kept)} if kept else {})


def measure(kind: Kind, folder: Path, num_clips: int, num_rounds: int) -> dict[str, Any]:
    """Of one kind of clips: all ways in all states, and what the files take."""
    library = Library(kind, folder, np.random.default_rng(0).permutation(num_clips).tolist())
    library.fill(num_clips)
    library.opened()
    found: dict[str, Any] = {
        "clips": num_clips,
        "dim": kind.dim,
        "megabytes": round(sum(path.stat().st_size for path in library.shards) / 1e6, 1),
        "files": {name: num_files(folder / name) for name in ("npy", "float16", "int8")},
    }
    for what, ways in (("batches", batch_ways(library)), ("arrays", array_ways(library))):
        found[what] = {state: measured(library, ways, state, num_rounds) for state in STATES}
    return found


def num_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def sizes(folder: Path, clips: range) -> dict[str, float]:
    """Megabytes for an hour of a stream of 1024 numbers at 50 Hz, by what is kept of each."""
    kind = KINDS["wavlm_large"]
    hours = sum(len(kind.clip(index)) for index in clips) * HOP_SECONDS / 3600.0
    found = {}
    kinds: tuple[StoreDtype, ...] = ("float32", "float16", "int8")
    for dtype in kinds:
        root = folder / f"as_{dtype}"
        FeatureStore(root, dtype=dtype).commit(kind.stream, SPEC, kind.entries(clips))
        found[dtype] = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    codec = numcodecs.Zstd(level=3)
    found["float16 under zstandard"] = sum(len(codec.encode(kind.clip(index))) for index in clips)
    return {name: round(num_bytes / hours / 1e6, 1) for name, num_bytes in found.items()}


def main() -> None:
    options = parser(__doc__, "feature_reads")
    options.add_argument("--clips", type=int, default=96)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=1, help="that torch converts with; a loader's thread has one")
    options.add_argument("--folder", type=Path, help="where to write some hundred MB; default: the system's own")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    document = {"machine": machine(), "targets": {"npy_over_store": 3.0, "sequential_over_store": 0.7}}
    for name, kind in KINDS.items():
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            document[name] = measure(kind, Path(folder), chosen.clips, chosen.rounds)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        document["megabytes_for_an_hour"] = sizes(Path(folder), range(min(chosen.clips, 24)))
    finish(document, chosen.out)


if __name__ == "__main__":
    main()
