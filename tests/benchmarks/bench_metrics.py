"""Scoring AV-Deepfake1M's validation split, side by side with the published evaluator.

    python tests/benchmarks/bench_metrics.py                  a tenth of the split: 5,734 clips of 100 proposals
    python tests/benchmarks/bench_metrics.py --clips 57340    all of it: about a minute, 3 GB

Both read the same two files, in turns. Prints the best time of each, their ratio and how far the numbers are apart, and
writes the same as JSON. Without the extra `parity` only our own times are measured.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.files import read_labels, read_predictions, score
from iamsb_core.metrics.protocols import AV_DEEPFAKE1M

NUM_PROPOSALS = 100
FORGED_SHARE = 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5734)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/metrics.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        labels, predictions = draw(Path(folder), arguments.clips, np.random.default_rng(0))
        result = measure(labels, predictions, arguments.repeats)
    result = {"clips": arguments.clips, "proposals": arguments.clips * NUM_PROPOSALS, **result}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        sys.stdout.write(f"{name:24} {value:.6g}\n" if isinstance(value, float) else f"{name:24} {value}\n")


def draw(folder: Path, num_clips: int, rng: np.random.Generator) -> tuple[Path, Path]:
    """A label file, and a prediction file with a good proposal for each truth among chance ones."""
    labels: list[dict[str, Any]] = []
    lists: dict[str, list[list[float]]] = {}
    for index in range(num_clips):
        num_truths = int(rng.integers(1, 4)) if rng.random() < FORGED_SHARE else 0
        truth = np.sort(rng.uniform(0, 8, num_truths))[:, None] + [0.0, 0.3]
        starts = rng.uniform(0, 9, NUM_PROPOSALS)
        rows = np.stack([rng.random(NUM_PROPOSALS), starts, starts + rng.uniform(0.1, 1, NUM_PROPOSALS)], axis=1)
        rows[:num_truths, 0] = rng.uniform(0.4, 1, num_truths)
        rows[:num_truths, 1:] = truth + rng.normal(0, 0.02, (num_truths, 2))
        rows = np.round(rows[np.argsort(-rows[:, 0])], 4)
        name = f"id{index % 500:05d}/video/{index:06d}/real_video_fake_audio.mp4"
        labels.append({"file": name, "fake_segments": np.round(truth, 2).tolist()})
        lists[name] = rows.tolist()
    (folder / "labels.json").write_text(json.dumps(labels))
    (folder / "predictions.json").write_text(json.dumps(lists))
    return folder / "labels.json", folder / "predictions.json"


def measure(labels: Path, predictions: Path, repeats: int) -> dict[str, Any]:
    published = published_evaluator(labels, predictions)
    truth, found = read_labels(labels), read_predictions(predictions)
    runs: dict[str, Callable[[], Any]] = {
        "from_memory_seconds": lambda: evaluate(truth, found.clips, AV_DEEPFAKE1M, contents=found.contents),
        "from_files_seconds": lambda: score(labels, predictions, AV_DEEPFAKE1M),
    }
    if published is not None:
        runs["published_seconds"] = published
    times: dict[str, list[float]] = {name: [] for name in runs}
    cpu_times: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, Any] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            values[name] = run()
            times[name].append(time.perf_counter() - start)
            cpu_times[name].append(time.process_time() - cpu_start)
    result: dict[str, Any] = {name: min(seconds) for name, seconds in times.items()}
    # of all threads: what remains comparable on a machine that does other things too
    result |= {name.replace("_seconds", "_cpu_seconds"): min(seconds) for name, seconds in cpu_times.items()}
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if published is not None:
        report, theirs = values["from_files_seconds"], values["published_seconds"]
        ours = [*report.ap.values(), *report.ar.values()]
        pairs = zip(ours, [*theirs["ap"].values(), *(theirs["ar"][n] for n in AV_DEEPFAKE1M.ar_counts)], strict=True)
        result["largest_difference"] = max(abs(a - b) for a, b in pairs)
        for ours_name in ("from_files", "from_memory"):
            result[f"times_faster_{ours_name}"] = result["published_seconds"] / result[f"{ours_name}_seconds"]
    return result


def published_evaluator(labels: Path, predictions: Path) -> Callable[[], Any] | None:
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
    return lambda: module.ap_ar_1d(
        str(predictions),
        str(labels),
        "file",
        "fake_segments",
        1.0,
        list(rules.ap_tious),
        list(rules.ar_counts),
        list(rules.ar_tious),
    )


if __name__ == "__main__":
    main()
