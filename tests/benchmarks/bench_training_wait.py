"""Which share of a training step waits for its batch, read from the store while the step before is computed.

    python tests/benchmarks/bench_training_wait.py                    compact IaMSB, features of WavLM-large and CLIP
    python tests/benchmarks/bench_training_wait.py --clips 256 --epochs 3 --system dense-localizer

The training loop itself, on a store of random features of LAV-DF's lengths, 1024 numbers at 50 Hz and 768 at 25 Hz,
with nothing kept in memory between epochs: the first epoch reads cold pages, later ones warm. The wait for the first
batch of an epoch, which nothing overlaps, is given apart. The target is that training never starves: a share near 0.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from bench_feature_reads import drop_pages
from harness import finish, machine, parser

from iamsb_core.data.dataset import ClipDataset
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.manifest import Forgery, Modality, VideoRecord
from iamsb_core.systems.base import create_system, system_type
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.loop import StepReport, Trainer
from storage.clips import ClipEntry
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore

CLIPS_PER_PACK = 64
SHAPES = {Modality.AUDIO: (1024, 0.02), Modality.VISUAL: (768, 0.04)}


def main() -> None:
    options = parser(__doc__, "training_wait")
    options.add_argument("--clips", type=int, default=96)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--system", default="iamsb")
    options.add_argument("--size", default="compact")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--folder", type=Path, help="where to write some hundred MB")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    document: dict[str, Any] = {"machine": machine(), "system": chosen.system, "size": chosen.size, "device": device}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        videos = [video(number) for number in range(chosen.clips)]
        source = fill(Path(folder) / "features", videos)
        drop_pages(Path(folder) / "features")
        kind = system_type(chosen.system)
        system = create_system(chosen.system, source.streams, kind.presets.get(chosen.size, kind.config_type)())
        config = TrainConfig(epochs=chosen.epochs, batch_size=chosen.batch, evaluate_every_epochs=chosen.epochs)
        dataset = ClipDataset(source, videos, window_seconds=config.window_seconds)
        trainer = Trainer(
            system,
            dataset,
            config,
            Path(folder) / "run",
            run_digest="benchmark",
            validate=lambda _: {"selection": 0.0},
            keep=lambda *_: None,
            device=device,
            fit_normalisation=False,  # it reads everything once, and the first epoch is to read cold pages
        )
        with contextlib.closing(trainer.run()) as reports:
            steps = [report for report in reports if isinstance(report, StepReport)]
        num_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    document |= {"batch_size": chosen.batch, "megabytes": round(num_bytes / 1e6, 1)}
    document["epochs"] = [epoch([step for step in steps if step.epoch == number]) for number in range(chosen.epochs)]
    finish(document, chosen.out)


def epoch(steps: list[StepReport]) -> dict[str, float]:
    first, later = steps[0], steps[1:]
    return {
        "waiting_share": round(sum(s.waiting_seconds for s in later) / sum(s.seconds for s in later), 4),
        "first_wait_seconds": round(first.waiting_seconds, 3),
        "step_seconds": round(mean(step.seconds for step in later), 3),
    }


def video(number: int) -> VideoRecord:
    rng = np.random.default_rng([number, 1])
    duration = float(rng.integers(125, 306)) * 0.04
    start = float(rng.uniform(0.0, duration - 1.0))
    segment = Segment(start, start + 0.8)
    return VideoRecord(
        video_id=f"{number}",
        path=Path(f"{number}.mp4"),
        split="train",
        duration_seconds=duration,
        forgeries=(Forgery(segment, Modality.AUDIO | Modality.VISUAL),) if number % 2 else (),
        media_sha256=hashlib.sha256(str(number).encode()).hexdigest(),
    )


def fill(root: Path, videos: list[VideoRecord]) -> StoredFeatures:
    """A store of random features under the names of the handcrafted encoders."""
    store = FeatureStore(root)
    specs = dict(zip(SHAPES, encoder_specs("handcrafted"), strict=True))
    for modality, spec in specs.items():
        dim, hop_seconds = SHAPES[modality]
        stream = StreamSpec(encoder_identity=spec.identity, dim=dim, hop_seconds=hop_seconds)
        for first in range(0, len(videos), CLIPS_PER_PACK):
            store.commit(stream, spec, entries(videos[first : first + CLIPS_PER_PACK], spec, dim, hop_seconds))
    return StoredFeatures(store, *specs.values())


def entries(videos: list[VideoRecord], spec: EncoderSpec, dim: int, hop_seconds: float) -> Iterator[ClipEntry]:
    for one in videos:
        assert one.duration_seconds is not None
        grid = TimeGrid.covering(one.duration_seconds, hop_seconds)
        rng = np.random.default_rng([int(one.video_id), len(spec.name)])
        values = rng.standard_normal((grid.num_cells, dim), dtype=np.float32)
        track = EncodedTrack(FeatureTrack(values, grid))
        yield ClipEntry.encoded(one.media_sha256 or "", track, one.duration_seconds)


if __name__ == "__main__":
    main()
