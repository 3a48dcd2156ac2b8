"""IaMSB learns: one batch by heart, boundaries to within 2 % of the union."""

from __future__ import annotations

import numpy as np
import torch

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.iamsb import Iamsb, compact
from iamsb_core.systems.segments import pairwise_tiou
from iamsb_core.timeline import TimeGrid

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=24, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=16, hop_seconds=0.04),
)
SECONDS = (2.0, 2.6, 3.0, 2.4)
AUDIO_TRUTH = ([(0.62, 1.17)], [], [(0.35, 0.81), (1.9, 2.77)], [])
VISUAL_TRUTH = ([], [(0.81, 2.05)], [(0.35, 0.81)], [])


def stream(spec: StreamSpec, truth: tuple[list[tuple[float, float]], ...], seed: int) -> StreamBatch:
    """Noise with a direction of its own in the cells that a forgery covers, in proportion to the cover."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(spec.dim)
    grids = [TimeGrid.covering(seconds, spec.hop_seconds) for seconds in SECONDS]
    values = torch.zeros(len(SECONDS), max(grid.num_cells for grid in grids), spec.dim)
    valid = torch.zeros(values.shape[:2], dtype=torch.bool)
    for row, (grid, segments) in enumerate(zip(grids, truth, strict=True)):
        edges, features = grid.edges(), rng.standard_normal((grid.num_cells, spec.dim))
        for start, end in segments:
            cover = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0.0, None) / grid.hop_seconds
            features += cover[:, None] * direction
        values[row, : grid.num_cells], valid[row, : grid.num_cells] = torch.from_numpy(features), True
    shares = tuple(
        torch.tensor(segments, dtype=torch.float32).reshape(-1, 2) / seconds
        for segments, seconds in zip(truth, SECONDS, strict=True)
    )
    return StreamBatch(values, valid, spec.hop_seconds, shares)


def lowest_tiou(system: Iamsb, batch: Batch) -> float:
    """Over all truths, the tiou of the best of as many top proposals as the clip has truths in the stream."""
    lowest = 1.0
    with torch.no_grad():
        clips = system.eval().propose(system(batch), batch)
    for row, clip in enumerate(clips):
        for proposals, given in ((clip.audio, batch.audio), (clip.visual, batch.visual)):
            truth = given.truth[row]
            if len(truth):
                top = torch.from_numpy(proposals[: len(truth), :2]) / clip.duration_seconds
                lowest = min(lowest, pairwise_tiou(top, truth).amax(dim=0).min().item())
    return lowest


def test_one_batch_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    batch = Batch(
        stream(STREAMS.audio, AUDIO_TRUTH, 1),
        stream(STREAMS.visual, VISUAL_TRUTH, 2),
        torch.tensor(SECONDS),
        tuple(f"clip {row}" for row in range(len(SECONDS))),
    )
    system = Iamsb(compact(), STREAMS)
    system.fit_normalisation([batch])
    num_steps = 150
    optimizer = torch.optim.AdamW(system.parameters(), lr=3e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=num_steps, pct_start=0.2)
    for _ in range(num_steps):
        loss = system.losses(system(batch), batch)["total"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    assert lowest_tiou(system, batch) > 0.98
    assert [clip.clip_score > 0.5 for clip in system.propose(system.eval()(batch), batch)] == [True, True, True, False]
