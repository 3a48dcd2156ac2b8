"""How fast the feature store reads, beside one .npy per clip and beside the disk's own pace; and what it takes of it.

    python tests/benchmarks/bench_feature_reads.py [--clips 192] [--reads 160] [--rounds 3] [--folder DIR]

Clips are as LAV-DF's (about 8.6 s) with WavLM-large features (1024 numbers at 50 Hz), read whole in random order, as
training reads them, and as windows of 2 s. The ways take turns in every round, warm (from the page cache) and, where
the kernel lets us drop the files' pages, cold. `npy_over_store` says how many times longer one .npy a clip takes (the
target is 3), `sequential_over_store` which share of the pace of reading the same bytes in order the store reaches (the
target is 0.7). Then come megabytes for an hour of video in every kind of number a store keeps, and of float16 under
zstandard, which no store uses: it saves little on features that vary as these do.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numcodecs
import numpy as np
import zarr
from harness import finish, machine, median_ratio, parser

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.keys import pack_folder
from storage.pack_writer import StoreDtype

DIM, HOP_SECONDS, CLIPS_PER_PACK = 1024, 0.02, 64
SPEC = EncoderSpec(name="handcrafted-audio", weights_digest="benchmark")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=DIM, hop_seconds=HOP_SECONDS)


def sha(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def clip(index: int) -> np.ndarray:
    """(num_cells, DIM) float16 that moves slowly, as features of speech do."""
    rng = np.random.default_rng(index)
    num_cells = int(rng.integers(250, 610))
    slow = np.repeat(rng.standard_normal((num_cells // 5 + 1, DIM), dtype=np.float32), 5, axis=0)[:num_cells]
    return (slow + 0.3 * rng.standard_normal((num_cells, DIM), dtype=np.float32)).astype(np.float16)


def entries(clips: Iterable[int]) -> Iterable[ClipEntry]:
    for index in clips:
        values = clip(index)
        track = EncodedTrack(FeatureTrack(values, TimeGrid(HOP_SECONDS, len(values))))
        yield ClipEntry.encoded(sha(index), track, len(values) * HOP_SECONDS)


def drop_pages(folder: Path) -> None:
    """Ask the kernel to forget the files' pages."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def read_all(read: Callable[[int], Any], order: np.ndarray) -> None:
    for index in order:
        read(int(index))


def read_in_order(files: list[Path]) -> None:
    """All bytes of some files, one file after another."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def measure(folder: Path, num_clips: int, num_reads: int, num_rounds: int) -> dict[str, Any]:
    arrays, root = folder / "npy", folder / "store"
    arrays.mkdir()
    for index in range(num_clips):
        np.save(arrays / f"{index}.npy", clip(index))
    store = FeatureStore(root)
    start = time.perf_counter()
    packs = [
        store.commit(STREAM, SPEC, entries(range(first, min(first + CLIPS_PER_PACK, num_clips))))
        for first in range(0, num_clips, CLIPS_PER_PACK)
    ]
    seconds_written = time.perf_counter() - start
    shards = [p for pack in packs for p in sorted(pack_folder(root, SPEC.identity, pack).glob("values/c/*/0"))]
    order = np.random.default_rng(0).permutation(num_clips)[:num_reads]
    window = Segment(1.0, 3.0)
    tables = [zarr.open_group(str(pack_folder(root, SPEC.identity, pack)), mode="r", zarr_format=3) for pack in packs]
    offsets = [table["offsets"][:] for table in tables]

    def through_zarr(index: int) -> Any:
        pack, place = divmod(index, CLIPS_PER_PACK)
        return tables[pack]["values"][offsets[pack][place] : offsets[pack][place + 1]]

    ways: dict[str, Callable[[int], Any]] = {
        "store": lambda index: store.read(SPEC.identity, sha(index)),
        "store_window_2s": lambda index: store.read(SPEC.identity, sha(index), window),
        "npy": lambda index: np.load(arrays / f"{index}.npy"),
        "zarr_python": through_zarr,
    }
    found: dict[str, Any] = {
        "clips": num_clips,
        "megabytes": sum(path.stat().st_size for path in shards) / 1e6,
        "files": {"npy": num_clips, "store": sum(path.is_file() for path in root.rglob("*"))},
        "write_megabytes_per_second": sum(path.stat().st_size for path in shards) / 1e6 / seconds_written,
    }
    for state in ("warm", "cold"):
        seconds: dict[str, list[float]] = {name: [] for name in (*ways, "sequential")}
        processor: dict[str, list[float]] = {name: [] for name in seconds}
        for number in range(num_rounds + (state == "warm")):  # the first warm round fills the page cache
            for name, taken in seconds.items():
                if state == "cold":
                    drop_pages(folder)
                began, spent = time.perf_counter(), time.process_time()
                if name == "sequential":
                    read_in_order(shards)
                else:
                    read_all(ways[name], order)
                clips = num_clips if name == "sequential" else len(order)
                taken.append((time.perf_counter() - began) / clips)
                processor[name].append((time.process_time() - spent) / clips)
            if state == "warm" and number == 0:
                seconds, processor = ({name: [] for name in ways} | {"sequential": []} for _ in range(2))
        found[state] = {
            "milliseconds_per_clip": {name: round(1e3 * median(taken), 4) for name, taken in seconds.items()},
            "processor_milliseconds_per_clip": {
                name: round(1e3 * median(taken), 4) for name, taken in processor.items()
            },
            "npy_over_store_by_processor": median_ratio(processor["npy"], processor["store"]),
            "sequential_over_store_by_processor": median_ratio(processor["sequential"], processor["store"]),
            "npy_over_store": median_ratio(seconds["npy"], seconds["store"]),
            "sequential_over_store": median_ratio(seconds["sequential"], seconds["store"]),
            "zarr_python_over_store": median_ratio(seconds["zarr_python"], seconds["store"]),
        }
    start = time.perf_counter()
    report = store.verify()
    found["verify_megabytes_per_second"] = report.num_bytes / 1e6 / (time.perf_counter() - start)
    found["megabytes_for_an_hour"] = sizes(folder, range(min(num_clips, CLIPS_PER_PACK)))
    return found


def sizes(folder: Path, clips: range) -> dict[str, float]:
    """Of a stream of 1024 numbers at 50 Hz, by what is kept of each."""
    hours = sum(len(clip(index)) for index in clips) * HOP_SECONDS / 3600.0
    found = {}
    kinds: tuple[StoreDtype, ...] = ("float32", "float16", "int8")
    for dtype in kinds:
        root = folder / f"as_{dtype}"
        FeatureStore(root, dtype=dtype).commit(STREAM, SPEC, entries(clips))
        found[dtype] = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    codec = numcodecs.Zstd(level=3)
    found["float16 under zstandard"] = sum(len(codec.encode(clip(index))) for index in clips)
    return {name: round(num_bytes / hours / 1e6, 1) for name, num_bytes in found.items()}


def main() -> None:
    options = parser(__doc__, "feature_reads")
    options.add_argument("--clips", type=int, default=192)
    options.add_argument("--reads", type=int, default=160)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, help="where to write some hundred MB; default: the system's own")
    chosen = options.parse_args()
    document = {"machine": machine(), "targets": {"npy_over_store": 3.0, "sequential_over_store": 0.7}}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        document |= measure(Path(folder), chosen.clips, chosen.reads, chosen.rounds)
    finish(document, chosen.out)


if __name__ == "__main__":
    main()
