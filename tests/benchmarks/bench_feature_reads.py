"""How fast the feature store reads, beside one .npy per clip and beside the disk's own pace.

    python tests/benchmarks/bench_feature_reads.py [--clips 192] [--reads 160] [--folder DIR] [--out FILE]

Prints one JSON document. Clips are as LAV-DF's (about 8.6 s) with WavLM-large features (1024 numbers at 50 Hz).
Everything is read warm (from the page cache) and, where the kernel lets us drop the files' pages, cold. A ratio above
1 says how many times longer the store takes than the other way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.keys import pack_folder

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


def milliseconds_each(read: Callable[[int], Any], order: np.ndarray) -> float:
    start = time.perf_counter()
    for index in order:
        read(int(index))
    return (time.perf_counter() - start) / len(order) * 1e3


def sequential_milliseconds(files: list[Path], num_clips: int) -> float:
    """Reading all bytes in order, for each clip."""
    start = time.perf_counter()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    return (time.perf_counter() - start) / num_clips * 1e3


def measure(folder: Path, num_clips: int, num_reads: int) -> dict[str, Any]:
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
        timed = {}
        for name, read in ways.items():
            timed[name] = _timed(lambda read=read: milliseconds_each(read, order), folder, state)
        timed["sequential"] = _timed(lambda: sequential_milliseconds(shards, num_clips), folder, state)
        found[state] = {
            "milliseconds_per_clip": {name: round(value, 4) for name, value in timed.items()},
            "store_over_npy": round(timed["store"] / timed["npy"], 3),
            "store_over_sequential": round(timed["store"] / timed["sequential"], 3),
            "zarr_python_over_store": round(timed["zarr_python"] / timed["store"], 3),
        }
    start = time.perf_counter()
    report = store.verify()
    found["verify_megabytes_per_second"] = report.num_bytes / 1e6 / (time.perf_counter() - start)
    return found


def _timed(run: Callable[[], float], folder: Path, state: str) -> float:
    """The fastest of three; the first pass of a warm measurement fills the page cache."""
    results = []
    for _ in range(3):
        if state == "cold":
            drop_pages(folder)
        results.append(run())
    return min(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--reads", type=int, default=160)
    parser.add_argument("--folder", type=Path, help="where to write some hundred MB; default: the system's own")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        text = json.dumps(measure(Path(folder), options.clips, options.reads), indent=2)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
