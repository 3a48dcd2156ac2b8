"""Scoring prediction files of AV-Deepfake1M's size, side by side with the published evaluator.

    python tests/benchmarks/bench_metrics.py          a tenth of the validation split: 5,734 clips of 100 proposals
    python tests/benchmarks/bench_metrics.py --val    all of it: 57,340 clips of 100; minutes, 2 GB
    python tests/benchmarks/bench_metrics.py --test   the test split: 343,240 clips of 50; minutes, 4 GB

Both read the same two files, in turns, each run in a process of its own, so that its peak memory is its own. Times are
of reading and scoring, without imports: the best of the repeats on the clock, and of processor time (all threads),
which is what can be compared on a machine that does other things too. Prints both, their ratio and how far the numbers
are apart, and writes the same as JSON. Without the published evaluator only our own run is measured.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine

from iamsb_core.metrics.files import score
from iamsb_core.metrics.protocols import AV_DEEPFAKE1M

SIZES = {"tenth": (5_734, 100), "val": (57_340, 100), "test": (343_240, 50)}
FORGED_SHARE = 0.75
KINDS = ("real", "audio_modified", "visual_modified", "both_modified")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--val", dest="size", action="store_const", const="val", default="tenth")
    size.add_argument("--test", dest="size", action="store_const", const="test")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("WHO", "LABELS", "PREDICTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        sys.stdout.write(json.dumps(run(*arguments.run)))
        return
    num_clips, num_proposals = SIZES[arguments.size]
    with tempfile.TemporaryDirectory() as folder:
        labels, predictions = draw(Path(folder), num_clips, num_proposals, np.random.default_rng(0))
        result = measure(labels, predictions, arguments.repeats)
    result = {
        "machine": machine(),
        "clips": num_clips,
        "proposals": num_clips * num_proposals,
        "cores": os.cpu_count(),
        **result,
    }
    out = arguments.out or Path(f"build/benchmarks/metrics_{arguments.size}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        sys.stdout.write(f"{name:28} {value:.6g}\n" if isinstance(value, float) else f"{name:28} {value}\n")


def draw(folder: Path, num_clips: int, num_proposals: int, rng: np.random.Generator) -> tuple[Path, Path]:
    """A label file in AV-Deepfake1M's layout, and predictions with a good one for each truth among chance ones."""
    labels, predictions = folder / "labels.json", folder / "predictions.json"
    with labels.open("w") as label_file, predictions.open("w") as prediction_file:
        for index in range(num_clips):
            kind = KINDS[int(rng.integers(1, 4))] if rng.random() < FORGED_SHARE else "real"
            truth = np.sort(rng.uniform(0, 8, 0 if kind == "real" else int(rng.integers(1, 4))))[:, None] + [0.0, 0.3]
            starts = rng.uniform(0, 9, num_proposals)
            rows = np.stack([rng.random(num_proposals), starts, starts + rng.uniform(0.1, 1, num_proposals)], axis=1)
            rows[: len(truth), 0] = rng.uniform(0.4, 1, len(truth))
            rows[: len(truth), 1:] = truth + rng.normal(0, 0.02, truth.shape)
            rows = np.round(rows[np.argsort(-rows[:, 0])], 4)
            name = f"id{index % 500:05d}/video/{index:06d}/real_video_fake_audio.mp4"
            separator = "[{" if index == 0 else ",\n "
            label_file.write(separator.replace("{", "") + json.dumps(entry(name, kind, np.round(truth, 2).tolist())))
            prediction_file.write(separator.replace("[", "") + f"{json.dumps(name)}: {json.dumps(rows.tolist())}")
        label_file.write("]\n")
        prediction_file.write("}\n")
    return labels, predictions


def entry(name: str, kind: str, truth: list[list[float]]) -> dict[str, Any]:
    """A clip as AV-Deepfake1M's metadata has it."""
    return {
        "file": name,
        "original": None if kind == "real" else name.replace("fake_audio", "real_audio"),
        "split": "val",
        "modify_type": kind,
        "audio_model": "vits" if kind in ("audio_modified", "both_modified") else "",
        "fake_segments": truth,
        "audio_fake_segments": truth if kind in ("audio_modified", "both_modified") else [],
        "visual_fake_segments": truth if kind in ("visual_modified", "both_modified") else [],
        "video_frames": 240,
        "audio_frames": 153600,
    }


def measure(labels: Path, predictions: Path, repeats: int) -> dict[str, Any]:
    """Both in turns; ours alone where the published one is not installed."""
    names = ["ours", "published"] if published_evaluator() is not None else ["ours"]
    command = [sys.executable, __file__, "--run"]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            done = subprocess.run([*command, name, labels, predictions], capture_output=True, check=True)
            runs[name].append(json.loads(done.stdout))
    result: dict[str, Any] = {
        f"{name}_{key}": min(found[key] for found in runs[name])
        for key in ("seconds", "cpu_seconds", "peak_memory_mib")
        for name in names
    }
    if "published" in names:
        for key in ("seconds", "cpu_seconds", "peak_memory_mib"):
            result[f"published_to_ours_{key}"] = result[f"published_{key}"] / result[f"ours_{key}"]
        pairs = zip(runs["ours"][0]["values"], runs["published"][0]["values"], strict=True)
        result["largest_difference"] = max(abs(a - b) for a, b in pairs)
    return result


def run(name: str, labels: str, predictions: str) -> dict[str, Any]:
    """One of the two in this process."""
    work = _ours if name == "ours" else published_evaluator()
    assert work is not None
    start, cpu_start = time.perf_counter(), time.process_time()
    values = work(labels, predictions)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "values": values,
    }


def _ours(labels: str, predictions: str) -> list[float]:
    report = score(labels, predictions, AV_DEEPFAKE1M)
    return [value for value in (*report.ap.values(), *report.ar.values()) if value is not None]


def published_evaluator() -> Callable[[str, str], list[float]] | None:
    """The wheel `avdeepfake1m`, its compiled part alone (the package wants torchmetrics); None where it is absent."""
    package = importlib.util.find_spec("avdeepfake1m")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent
    compiled = [p for end in importlib.machinery.EXTENSION_SUFFIXES for p in folder.glob(f"_evaluation*{end}")]
    spec = importlib.util.spec_from_file_location("avdeepfake1m._evaluation", compiled[0]) if compiled else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rules = AV_DEEPFAKE1M
    settings = (list(rules.ap_tious), list(rules.ar_counts), list(rules.ar_tious))

    def evaluated(labels: str, predictions: str) -> list[float]:
        found = module.ap_ar_1d(predictions, labels, "file", "fake_segments", 1.0, *settings)
        return [*found["ap"].values(), *(found["ar"][count] for count in rules.ar_counts)]

    return evaluated


if __name__ == "__main__":
    main()
