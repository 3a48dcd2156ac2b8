"""IaMSB's training step and inference beside its rivals at equal width and on equal features, and cost against length.

    python tests/benchmarks/bench_systems.py                       compact sizes, handcrafted features
    python tests/benchmarks/bench_systems.py --size paper          width 256 on features of WavLM-large and CLIP B/16
    python tests/benchmarks/bench_systems.py --lengths 8.6 30 120 600 3600

The systems take turns, a step of each and an inference of each in every round, and IaMSB's ratio to each rival is the
median of the rounds'. Every system has IaMSB's width and its own preset otherwise, untrained, on random features of
8.6 s, LAV-DF's mean. Inference goes from features to proposals: 60 ms on two cores is the target, 20 ms on a GPU.
Memory is what a step or an inference takes above what is held before (of a long clip: beside the model and its
features). Then clips of growing length go through IaMSB
as `iamsb localize` sends them, in windows of 20.48 s that are merged again; the slope is that of time over length in
logarithms, 1 where it is linear. Ratios and the slope are of the processor's time (of the clock's on a GPU), which
other work on the machine disturbs less.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from harness import finish, in_turns, machine, median_ratio, parser

from iamsb_core.data.batch import Batch
from iamsb_core.data.collate import collate
from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import EncodedTrack, Streams, StreamSpec
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.systems.base import System, create_system, system_names, system_type
from iamsb_core.systems.cost import count_gflop, peak_bytes
from iamsb_core.timeline import FeatureTrack, TimeGrid
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.optimizer import make_optimizer
from iamsb_core.training.predict import localize_items

CLIP_SECONDS, WINDOW_SECONDS = 8.6, 20.48
TARGET_MILLISECONDS = {"cpu": 60.0, "cuda": 20.0}
LARGE = Streams(
    audio=StreamSpec(encoder_identity="wavlm-large", dim=1024, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="clip-b16", dim=768, hop_seconds=0.04),
)


def main() -> None:
    options = parser(__doc__, "systems")
    options.add_argument("--size", choices=("compact", "paper"), default="compact")
    options.add_argument("--systems", nargs="+", default=list(system_names()))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--clips", type=int, default=4, help="in a training step")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--lengths", type=float, nargs="*", default=[8.6, 30.0, 120.0, 600.0])
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    streams = LARGE if chosen.size == "paper" else handcrafted_streams()
    found = {name: made(name, chosen.size, streams).to(device) for name in ("iamsb", *chosen.systems)}
    document: dict[str, Any] = {
        "machine": machine(),
        "size": chosen.size,
        "device": device,
        "clip_seconds": CLIP_SECONDS,
        "target_milliseconds": TARGET_MILLISECONDS[device],
        "training_step": compared(
            {name: training_step(system, streams, chosen.clips, device) for name, system in found.items()},
            chosen.rounds,
            device,
            chosen.clips,
        ),  # before the inference below, which puts the systems into evaluation
        "inference": compared(
            {name: inference(system, streams, device) for name, system in found.items()}, chosen.rounds, device, 1
        ),
    }
    for name, system in found.items():
        row = document["inference"]["systems"][name]
        row["parameters_millions"] = round(sum(weight.numel() for weight in system.parameters()) / 1e6, 3)
        row["gflop"] = gflop(system, streams, device)
    if chosen.lengths:
        document["length"] = lengths(found["iamsb"], streams, sorted(chosen.lengths), device)
    finish(document, chosen.out)


def handcrafted_streams() -> Streams:
    audio, visual = (load_encoder(spec).stream for spec in encoder_specs("handcrafted"))
    return Streams(audio=audio, visual=visual)


def made(name: str, size: str, streams: Streams) -> System[Any]:
    """At IaMSB's width of that size."""
    presets = {one: system_type(one).presets.get(size, system_type(one).config_type)() for one in (name, "iamsb")}
    torch.manual_seed(0)
    return create_system(name, streams, replace(presets[name], dim=presets["iamsb"].dim))


def random_item(streams: Streams, seconds: float, seed: int) -> Item:
    """Random features and a forged segment in each stream."""
    rng = np.random.default_rng(seed)

    def track(dim: int, hop_seconds: float) -> FeatureTrack:
        grid = TimeGrid.covering(seconds, hop_seconds)
        return FeatureTrack(rng.standard_normal((grid.num_cells, dim), dtype=np.float32), grid)

    def tracks(stream: StreamSpec) -> EncodedTrack:
        fine = track(stream.fine_dim, stream.fine_hop_seconds) if stream.fine_dim else None
        return EncodedTrack(track(stream.dim, stream.hop_seconds), fine)

    starts = {modality: float(rng.uniform(0.0, seconds - 1.5)) for modality in STREAMS}
    truth = {modality: np.array([[start, start + 1.2]]) for modality, start in starts.items()}
    both: dict[Modality, EncodedTrack | None] = {modality: tracks(streams.of(modality)) for modality in STREAMS}
    return Item(f"clip-{seed}", seconds, both, truth)


def batch_of(streams: Streams, num_clips: int, device: str) -> Batch:
    items = [random_item(streams, CLIP_SECONDS, seed) for seed in range(num_clips)]
    return collate(items, streams).to(torch.device(device))


def training_step(system: System[Any], streams: Streams, num_clips: int, device: str) -> Callable[[], None]:
    """As the training loop does it: forward, losses, gradients, clipping, AdamW."""
    batch, optimizer = batch_of(streams, num_clips, device), make_optimizer(system, TrainConfig())

    def step() -> None:
        system.train()
        generator = torch.Generator().manual_seed(0)
        on_gpu = device == "cuda"
        with torch.autocast(device, torch.bfloat16, enabled=on_gpu):
            losses = system.losses(system(batch, generator), batch)
        optimizer.zero_grad(set_to_none=True)
        system.backward(losses)
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0).item()
        optimizer.step()

    return step


def inference(system: System[Any], streams: Streams, device: str) -> Callable[[], None]:
    """From features to proposals."""
    batch = batch_of(streams, 1, device)
    system.eval()

    @torch.inference_mode()
    def run() -> None:
        system.propose(system(batch), batch)

    return run


def gflop(system: System[Any], streams: Streams, device: str) -> float:
    batch = batch_of(streams, 1, device)
    system.eval()
    return round(count_gflop(lambda: system(batch)), 2)


def compared(ways: dict[str, Callable[[], None]], num_rounds: int, device: str, num_clips: int) -> dict[str, Any]:
    """Each way's milliseconds for a clip and memory, and IaMSB's ratios to the others."""
    for run in ways.values():
        run()  # what is made once
    seconds, processor = in_turns(ways, num_rounds, with_children=False)
    counted = processor if device == "cpu" else seconds
    systems = {}
    for name, run in ways.items():
        peak = peak_bytes(run, device)
        systems[name] = {
            "milliseconds_of_a_clip": round(1e3 * median(seconds[name]) / num_clips, 1),
            "processor_milliseconds_of_a_clip": round(1e3 * median(processor[name]) / num_clips, 1),
            "fastest_milliseconds_of_a_clip": round(1e3 * min(seconds[name]) / num_clips, 1),
            "peak_megabytes": None if peak is None else round(peak / 1e6, 1),
            "iamsb_over_it": median_ratio(counted["iamsb"], counted[name]),
        }
    return {"clips_at_once": num_clips, "systems": systems}


def lengths(system: System[Any], streams: Streams, wanted: Sequence[float], device: str) -> dict[str, Any]:
    """The same system on longer and longer clips, windows and their merging included."""
    system.eval()
    rows = []
    for seconds in wanted:
        item = random_item(streams, seconds, 0)

        def run(item: Item = item) -> None:
            list(localize_items(system, [item], streams, WINDOW_SECONDS, device))

        clock, processor = in_turns({"run": run}, 3 if seconds <= 120.0 else 1, with_children=False)
        counted, peak = processor if device == "cpu" else clock, peak_bytes(run, device)
        rows.append(
            {
                "seconds": seconds,
                "took_seconds": round(median(clock["run"]), 3),
                "processor_seconds": round(median(processor["run"]), 3),
                "milliseconds_for_a_second": round(1e3 * median(counted["run"]) / seconds, 2),
                "peak_megabytes": None if peak is None else round(peak / 1e6, 1),
                "features_megabytes": round(megabytes(item), 1),
            }
        )
    windowed = [row for row in rows if row["seconds"] > WINDOW_SECONDS]
    found: dict[str, Any] = {"window_seconds": WINDOW_SECONDS, "clips": rows}
    if len(windowed) > 1:
        each = [
            (math.log(row["seconds"]), math.log(row["milliseconds_for_a_second"] * row["seconds"])) for row in windowed
        ]
        found["slope"] = round(float(np.polyfit(*np.transpose(each), 1)[0]), 3)
    return found


def megabytes(item: Item) -> float:
    """Of a clip's features, as the system is given them."""
    tracks = [part for track in item.tracks.values() if track is not None for part in (track.main, track.fine)]
    return sum(part.values.nbytes for part in tracks if part is not None) / 1e6


if __name__ == "__main__":
    main()
