"""Reading and checking the metadata of a million videos, in a process of its own: seconds and peak memory.

    python tests/benchmarks/bench_dataset_check.py                        100,000 entries, AV-Deepfake1M and LAV-DF
    python tests/benchmarks/bench_dataset_check.py --videos 1000000       a million: minutes to draw and to delete
    python tests/benchmarks/bench_dataset_check.py --layout lavdf         one layout

The files that the metadata lists are there (empty), so that the folder is really walked; one in a thousand entries has
a fault of each kind. What is measured is `iamsb dataset check NAME ROOT --json` itself: start, reading, checking, the
page and the JSON. The targets for a million are 60 s and 2 GiB. Prints the numbers and writes them as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine

TARGET_SECONDS, TARGET_MIB = 60.0, 2048.0
KINDS = (
    ("real", "real"),
    ("audio_modified", "real_video_fake_audio"),
    ("visual_modified", "fake_video_real_audio"),
    ("both_modified", "fake_video_fake_audio"),
)
NUM_PEOPLE = 2068
NUM_DRAWN = 4096
FAULTY = 1000
"""one entry in so many has a segment beyond its clip's end, another two that overlap, another no file"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--layout", choices=sorted(LAYOUTS), action="append")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/dataset_check.json"))
    parser.add_argument("--work", type=Path, help="folder for the dataset, a few hundred MB [default: temporary]")
    arguments = parser.parse_args()
    results = []
    for layout in arguments.layout or sorted(LAYOUTS):
        with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
            results.append(measure(layout, arguments.videos, Path(folder)))
            sys.stdout.write(json.dumps(results[-1], indent=2) + "\n")
            sys.stdout.flush()  # before a million files are deleted again
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")


def measure(layout: str, num_videos: int, folder: Path) -> dict[str, Any]:
    """Draw a dataset and check it as a user would."""
    root = folder / "data"
    root.mkdir()
    began = time.perf_counter()
    metadata = LAYOUTS[layout](root, num_videos, np.random.default_rng(0))
    drawn_seconds = time.perf_counter() - began
    command = [sys.executable, "-m", "flows.cli", "dataset", "check", layout, str(root), "--out", str(folder / "out")]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--json"], stdout=subprocess.DEVNULL, env={**os.environ, "IAMSB_HOME": str(folder / "home")}
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_seconds = time.perf_counter() - began
    report = json.loads((folder / "out" / "report.json").read_text())
    peak_mib = usage.ru_maxrss / 1024
    return {
        "machine": machine(),
        "layout": layout,
        "num_videos": report["num_videos"],
        "metadata_mib": round(metadata / 2**20, 1),
        "wall_seconds": round(wall_seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mib": round(peak_mib, 1),
        "within_targets": wall_seconds < TARGET_SECONDS and peak_mib < TARGET_MIB,
        "exit_code": os.waitstatus_to_exitcode(status),
        "findings": {one["kind"]: one["count"] for one in report["findings"]},
        "drawn_seconds": round(drawn_seconds, 1),
    }


def draw_av_deepfake1m(root: Path, num_videos: int, rng: np.random.Generator) -> int:
    """train_metadata.json and val_metadata.json as published, four kinds of each clip; returns their bytes."""
    num_val = num_videos // 20
    size = 0
    first = 0
    for name, number in (("train", num_videos - num_val), ("val", num_val)):
        size += write_list(root / f"{name}_metadata.json", _entries_1m(root / name, first, number, rng))
        first += number
    return size


def _entries_1m(folder: Path, first: int, number: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    drawn = draws(rng)
    for index in range(first, first + number):
        clip, kind = divmod(index, len(KINDS))
        place = f"id{clip % NUM_PEOPLE:05d}/{clip // NUM_PEOPLE % 200:011d}/{clip:05d}"
        if kind == 0 or index == first:
            (folder / place).mkdir(parents=True)
        frames, segments = spoil(index, *next(drawn))
        file = f"{place}/{KINDS[kind][1]}.mp4"
        if index % FAULTY != 3:
            (folder / file).touch()
        yield {
            "file": file,
            "original": None if kind == 0 else f"{place}/real.mp4",
            "split": folder.name,
            "modify_type": KINDS[kind][0],
            "audio_model": "yourtts" if kind & 1 else None,
            "fake_segments": segments if kind else [],
            "audio_fake_segments": segments if kind in {1, 3} else [],
            "visual_fake_segments": segments if kind in {2, 3} else [],
            "video_frames": frames,
            "audio_frames": frames * 640,
        }


def draw_lavdf(root: Path, num_videos: int, rng: np.random.Generator) -> int:
    """metadata.min.json as published, with one list for both streams; returns its bytes."""
    splits = (("train", 0.58), ("dev", 0.23), ("test", 0.19))
    names = list(itertools.chain.from_iterable([name] * round(share * num_videos) for name, share in splits))
    for name, _ in splits:
        (root / name).mkdir()
    return write_list(root / "metadata.min.json", _entries_lavdf(root, names, rng))


def _entries_lavdf(root: Path, names: list[str], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    drawn = draws(rng)
    for index, name in enumerate(names):
        kind = index % len(KINDS)
        frames, segments = spoil(index, *next(drawn))
        file = f"{name}/{index:06d}.mp4"
        if index % FAULTY != 3:
            (root / file).touch()
        yield {
            "file": file,
            "n_fakes": len(segments) if kind else 0,
            "fake_periods": segments if kind else [],
            "duration": frames / 25,
            "original": None,
            "modify_video": bool(kind & 2),
            "modify_audio": bool(kind & 1),
            "split": name,
            "video_frames": frames,
            "audio_channels": 1,
            "audio_frames": frames * 640,
        }


LAYOUTS: dict[str, Callable[[Path, int, np.random.Generator], int]] = {
    "av-deepfake1m": draw_av_deepfake1m,
    "lavdf": draw_lavdf,
}


def draws(rng: np.random.Generator) -> Iterator[tuple[int, list[list[float]]]]:
    """Numbers of frames, and disjoint segments within them, round and round."""
    drawn = []
    for _ in range(NUM_DRAWN):
        frames = int(rng.integers(75, 500))
        edges = np.sort(rng.uniform(0, frames / 25, 2 * int(rng.integers(1, 3)))).round(2)
        pairs = [[start, end] for start, end in edges.reshape(-1, 2).tolist() if end - start >= 0.06]
        drawn.append((frames, pairs or [[0.2, 0.8]]))
    return itertools.cycle(drawn)


def spoil(index: int, frames: int, segments: list[list[float]]) -> tuple[int, list[list[float]]]:
    """The entry as drawn, or with a fault where it is its turn."""
    if index % FAULTY == 1:
        return frames, [[0.1, frames / 25 + 1.0]]
    if index % FAULTY == 2:
        return frames, [[0.1, 0.9], [0.5, 1.2]]
    return frames, segments


def write_list(path: Path, entries: Iterator[dict[str, Any]]) -> int:
    """One object after another, as the benchmarks' own files have them."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, entry in enumerate(entries):
            file.write((", " if number else "") + json.dumps(entry))
        file.write("]")
    return path.stat().st_size


if __name__ == "__main__":
    main()
