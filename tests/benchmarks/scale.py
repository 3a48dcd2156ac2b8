"""Hours, machines, bytes and cost of large datasets, computed from the measured rates: the tables of docs/scale.md.

    python tests/benchmarks/scale.py                                  from tests/benchmarks/results, as markdown
    python tests/benchmarks/scale.py --core-hour 0.03 --gpu-hour 2.5 --gigabyte-month 0.02    with other prices

Rates are those of one core's time, which other work on the machine disturbs little; a core that shares its caches and
its memory with busy neighbours is slower than one that does not. What was not measured, the GPU, is arithmetic: the
published operations of both networks over half of an assumed rate of bfloat16 products.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SECONDS_PER_HOUR = 3600.0
GPU_GFLOP_PER_MEDIA_SECOND = 36.0 + 842.0
"""WavLM-large on a second of sound, CLIP ViT-B/16 on 25 pictures"""
GPU_PRODUCTS_PER_SECOND = 700e12
"""bfloat16, of one H200: assumed"""
GPU_SHARE = 0.5
WAVLM_CLIP_NUMBERS_PER_HOUR = (1024 * 50 + 768 * 25) * SECONDS_PER_HOUR
CORES_OF_A_MACHINE = 64


@dataclass(frozen=True)
class Dataset:
    """What counts of a dataset's size."""

    name: str
    num_clips: float
    clip_seconds: float

    @property
    def media_hours(self) -> float:
        return self.num_clips * self.clip_seconds / SECONDS_PER_HOUR


DATASETS = (
    Dataset("LAV-DF", 136_304, 8.6),
    Dataset("AV-Deepfake1M", 1_146_760, 5.9),
    Dataset("a billion clips", 1e9, 8.6),
)


@dataclass(frozen=True)
class Prices:
    """In dollars."""

    core_hour: float
    gpu_hour: float
    gigabyte_month: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--core-hour", type=float, default=0.04)
    parser.add_argument("--gpu-hour", type=float, default=3.5)
    parser.add_argument("--gigabyte-month", type=float, default=0.023)
    given = parser.parse_args()
    measured = {path.stem: json.loads(path.read_text()) for path in sorted(given.results.glob("*.json"))}
    prices = Prices(given.core_hour, given.gpu_hour, given.gigabyte_month)
    sys.stdout.write(f"{extraction_table(measured, prices)}\n\n{other_table(measured, prices)}\n")


def extraction_table(measured: dict[str, Any], prices: Prices) -> str:
    """Decoding and encoding, in core hours, machines, gigabytes and dollars."""
    spent = measured["extraction"]["sets"]["drawn"]["core_seconds_per_hour_of_video"]["25 Hz"]
    core_seconds = sum(spent[name] for name in ("decode", "encode_sound", "encode_picture", "write"))
    rows = []
    for one in DATASETS:
        core_hours = one.media_hours * core_seconds / SECONDS_PER_HOUR
        gigabytes = one.media_hours * spent["megabytes_stored"] / 1e3
        rows.append(
            [
                one.name,
                "handcrafted",
                short(one.media_hours),
                short(core_hours),
                days(core_hours / CORES_OF_A_MACHINE),
                "-",
                short(gigabytes),
                dollars(core_hours * prices.core_hour),
                dollars(gigabytes * prices.gigabyte_month),
            ]
        )
        decoding = one.media_hours * (spent["decode"] + spent["write"]) / SECONDS_PER_HOUR
        gpu_hours = one.media_hours * GPU_GFLOP_PER_MEDIA_SECOND * 1e9 / (GPU_PRODUCTS_PER_SECOND * GPU_SHARE)
        for kind, num_bytes in (("float16", 2.0), ("int8", 1.0)):
            gigabytes = one.media_hours * WAVLM_CLIP_NUMBERS_PER_HOUR * num_bytes / 1e9
            rows.append(
                [
                    one.name,
                    f"WavLM-large + CLIP, {kind}",
                    short(one.media_hours),
                    short(decoding),
                    days(decoding / CORES_OF_A_MACHINE),
                    short(gpu_hours),
                    short(gigabytes),
                    dollars(decoding * prices.core_hour + gpu_hours * prices.gpu_hour),
                    dollars(gigabytes * prices.gigabyte_month),
                ]
            )
    machine = f"one machine of {CORES_OF_A_MACHINE} cores"
    heads = ("dataset", "encoders", "hours of video", "core hours", machine, "GPU hours", "GB", "compute", "GB a month")
    return table(heads, rows)


def other_table(measured: dict[str, Any], prices: Prices) -> str:
    """What comes beside the extraction: reading metadata, a cached rerun, inference, scoring."""
    check = max(measured["dataset_check"], key=lambda one: one["num_videos"])
    rerun = measured["orchestration"]["rerun"]
    sizes = [_inference(measured[name]) for name in ("systems", "systems_paper")]
    scoring = measured["metrics"]
    rows = []
    for one in DATASETS:
        inferring = [one.media_hours * milliseconds / 1e3 for milliseconds in sizes]
        rows.append(
            [
                one.name,
                hours(check["cpu_seconds"] / check["num_videos"] * one.num_clips),
                hours(sum(rerun["processor_seconds_of_what_grows"].values()) / rerun["num_clips"] * one.num_clips),
                *(short(core_hours) for core_hours in inferring),
                dollars(inferring[-1] * prices.core_hour),
                hours(scoring["ours_cpu_seconds"] / scoring["clips"] * one.num_clips),
            ]
        )
    heads = (
        "dataset",
        "check the metadata",
        "rerun, all cached",
        "localise, compact: core hours",
        "paper size: core hours",
        "cost of these",
        "score, 50 proposals",
    )
    return table(heads, rows)


def _inference(measured: dict[str, Any]) -> float:
    """Core milliseconds for a second of a clip that takes several windows."""
    clips = measured["length"]["clips"]
    return float(next(row for row in clips if row["seconds"] >= 60.0)["milliseconds_for_a_second"])


def table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(number: float) -> str:
    """With two figures that count, and thousands set apart."""
    if number >= 100:
        digits = len(f"{number:.0f}") - 3
        return f"{round(number, -max(0, digits)):,.0f}"
    return f"{number:.2g}"


def hours(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200.0 else f"{short(seconds / SECONDS_PER_HOUR)} h"


def days(number_of_hours: float) -> str:
    if number_of_hours < 48.0:
        return f"{number_of_hours:.2g} h"
    return (
        f"{short(number_of_hours / 24.0)} days" if number_of_hours < 24 * 730 else f"{number_of_hours / 8766:.1f} years"
    )


def dollars(amount: float) -> str:
    return f"${amount:.2f}" if amount < 10.0 else f"${short(amount)}"


if __name__ == "__main__":
    main()
