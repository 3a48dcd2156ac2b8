"""From features to proposals: clip by clip in batches, long videos in windows that are merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from iamsb_core.data.collate import collate
from iamsb_core.data.dataset import Item, read_item, window_of
from iamsb_core.data.source import FeatureSource
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.localization.windows import merge_windows, plan_windows
from iamsb_core.manifest import VideoRecord
from iamsb_core.systems.base import System

OVERLAP_SHARE = 0.25


def predict(
    system: System[Any],
    source: FeatureSource,
    videos: Sequence[VideoRecord],
    *,
    window_seconds: float,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> dict[str, ClipProposals]:
    """Proposals of every video by video_id; their truth is not looked at. The system should be in evaluation mode."""
    found: dict[str, ClipProposals] = {}
    for first in range(0, len(videos), batch_size):
        items = [read_item(source, video.without_truth()) for video in videos[first : first + batch_size]]
        found |= {
            result.video_id: result for result in localize_items(system, items, source.streams, window_seconds, device)
        }
        if progress is not None:
            progress(len(items))
    return found


def localize_items(
    system: System[Any],
    items: Sequence[Item],
    streams: Streams,
    window_seconds: float,
    device: torch.device | str = "cpu",
    *,
    explain: bool = False,
) -> Iterator[ClipProposals]:
    """One result for each item, in order; items longer than the window are cut, localised and merged.

    With `explain`, what the system explains beyond its evidence is added to that: it is too long for whole datasets.
    """
    short = [item for item in items if item.duration_seconds <= window_seconds]
    done = {result.video_id: result for result in _localize(system, short, streams, device, explain)}
    for item in items:
        if item.video_id in done:
            yield done[item.video_id]
            continue
        windows = plan_windows(
            item.duration_seconds,
            window_seconds,
            OVERLAP_SHARE * window_seconds,
            align_seconds=streams.visual.hop_seconds,
        )
        pieces: list[ClipProposals] = []
        for window in windows:
            pieces += _localize(system, [window_of(item, window)], streams, device, explain)
        yield merge_windows(item.video_id, item.duration_seconds, windows, pieces)


@torch.inference_mode()
def _localize(
    system: System[Any], items: Sequence[Item], streams: Streams, device: torch.device | str, explain: bool
) -> list[ClipProposals]:
    if not items:
        return []
    batch = collate(items, streams).to(torch.device(device))
    outputs = system(batch)
    found = system.propose(outputs, batch)
    if not explain:
        return found
    told = system.explain(outputs, batch)
    return [replace(clip, evidence={**clip.evidence, **more}) for clip, more in zip(found, told, strict=True)]
