"""What every benchmark says of the machine, and how two ways are timed side by side.

The ways take turns, round after round, in one process; a ratio is the median of the rounds' own ratios, so that what
else the machine does at the time meets both.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """When, on what, at which load, and of which commit the numbers are."""
    import torch  # noqa: PLC0415 - a second to import, and some benchmarks set its threads first

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def in_turns(
    ways: Mapping[str, Callable[[], object]], num_rounds: int, *, with_children: bool = True
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds by the clock and of the processors, of each way in each round; every second round goes backwards.

    with_children: whether ways start processes of their own; to look for them takes some 20 ms.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(num_rounds):
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            began, spent = time.perf_counter(), processor_seconds(with_children)
            ways[name]()
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(processor_seconds(with_children) - spent)
    return seconds, processor


def processor_seconds(with_children: bool = True) -> float:
    """Of this process, of its children, and of those that ended."""
    if not with_children:
        return time.process_time()
    own = os.times()
    spent = own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        spent += times.user + times.system
    return spent + time.process_time()


def median_ratio(above: list[float], below: list[float]) -> float:
    """The median over the rounds of one way's seconds over another's."""
    return round(median(a / b for a, b in zip(above, below, strict=True)), 3)


def finish(document: dict[str, Any], out: Path) -> None:
    """Write the JSON file, with the load at the end beside that at the beginning, and print it."""
    document["machine"]["load_average_at_the_end"] = [round(load, 2) for load in os.getloadavg()]
    text = json.dumps(document, indent=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    sys.stdout.write(text + "\n")


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """With `--out`, where the JSON goes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=PROJECT / "build" / "benchmarks" / f"{name}.json")
    return made


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
