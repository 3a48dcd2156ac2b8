"""What a forged dataset is, for whoever uses it: sizes, people, methods, lengths, how it was made, and its limits.

Everything is counted from the dataset's own metadata.streams.json, so a card can be written anew at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.configuration import parse
from iamsb_core.datasets.stream_truth import STREAMS_FILE, STREAMS_FORMAT
from iamsb_core.digest import plain
from iamsb_core.forgery.config import FRAME_RATE_HZ, ForgeConfig
from iamsb_core.manifest import SPLITS, STREAMS, stream_name
from iamsb_core.report import data_card_words as words
from iamsb_core.report.data_card_words import Footage
from iamsb_core.timeline import merge_segments

FORMAT = "iamsb-data-card/1"
LENGTH_EDGES_SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""the classes in which segments are counted; the last has no end"""
STREAM_NAMES = tuple(stream_name(stream) for stream in STREAMS)


def data_card(dataset: Path, *, licence: str | None = None) -> dict[str, Any]:
    """The card as JSON data. licence: of the sources, in the user's words.

    Raises ValueError where the folder is not a dataset that the forgery builder made.
    """
    path = dataset / STREAMS_FILE
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if document.get("format") != STREAMS_FORMAT or "examples" not in document:
        raise ValueError(f"{dataset} is not a dataset that `iamsb forge` made; there is no {STREAMS_FILE} of its kind")
    config = parse(ForgeConfig, document["config"])
    videos: dict[str, dict[str, Any]] = document["videos"]
    drawn = bool(document["drawn"])
    footage = Footage(
        clips_seconds=sum(video["num_frames"] for video in videos.values()) / FRAME_RATE_HZ,
        genuine_seconds=_footage_seconds(videos.values()),
        num_repeating=sum(_repeats(video["takes"]) for video in videos.values()),
    )
    splits: dict[str, dict[str, Any]] = {
        split: _split([v for v in videos.values() if v["split"] == split]) for split in SPLITS
    }
    return {
        "format": FORMAT,
        "name": dataset.name,
        "digest": document["digest"],
        "seed": document["seed"],
        "layout": config.layout,
        "difficulty": config.difficulty,
        "placement": config.placement,
        "sources": {
            "drawn": drawn,
            "licence": words.DRAWN if drawn else licence or words.NOT_STATED,
            "left_out": [{"file": name, "reason": reason} for name, reason in document["summary"]["skipped"]],
        },
        "splits": splits,
        "unseen_in_training": _unseen(splits),
        "length_edges_seconds": list(LENGTH_EDGES_SECONDS),
        "examples": [{**each, "what": words.METHODS[each["stream"], each["method"]]} for each in document["examples"]],
        "how_it_was_made": words.how_it_was_made(config, drawn=drawn),
        "limits": words.limits(config, footage, drawn=drawn),
        "config": plain(config),
    }


def _split(videos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lengths = np.array([video["num_frames"] for video in videos]) / FRAME_RATE_HZ if videos else np.zeros(1)
    return {
        "num_clips": len(videos),
        "num_real": sum(not video["audio"] and not video["visual"] for video in videos),
        "kinds": dict(sorted(Counter(video["kind"] for video in videos).items())),
        "people": sorted({video["identity"] for video in videos}),
        "duration_seconds": round(float(lengths.sum()), 2),
        "genuine_seconds": round(_footage_seconds(videos), 2),
        "clip_seconds": {name: round(float(np.quantile(lengths, q)), 2) for name, q in _QUANTILES.items()},
        "streams": {stream: _stream(videos, stream) for stream in STREAM_NAMES},
    }


_QUANTILES = {"shortest": 0.0, "median": 0.5, "longest": 1.0}


def _footage_seconds(videos: Iterable[Mapping[str, Any]]) -> float:
    """How much genuine footage the clips were cut from, each moment counted once."""
    cut: dict[str, list[tuple[float, float]]] = {}
    for video in videos:
        for take in video["takes"]:
            start = take["start_seconds"]
            cut.setdefault(take["source"], []).append((start, start + take["duration_seconds"]))
    return float(sum(np.diff(merge_segments(np.array(spans)), axis=1).sum() for spans in cut.values()))


def _stream(videos: Sequence[Mapping[str, Any]], stream: str) -> dict[str, Any]:
    spans = [span for video in videos for span in video[stream]]
    seconds = np.array([span["end"] - span["start"] for span in spans])
    inside = np.searchsorted(LENGTH_EDGES_SECONDS, seconds, side="left") - 1  # 0.5 s counts as `up to 0.5 s`
    return {
        "num_forged_clips": sum(bool(video[stream]) for video in videos),
        "num_segments": len(spans),
        "forged_seconds": round(float(seconds.sum()), 2),
        "length_counts": np.bincount(np.maximum(inside, 0), minlength=len(LENGTH_EDGES_SECONDS)).tolist(),
        "methods": dict(sorted(Counter(span["method"] for span in spans).items())),
    }


def _unseen(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`stream:method` of what the test split holds and the training split does not."""
    trained, tested = (
        {f"{name}:{method}" for name, stream in splits[split]["streams"].items() for method in stream["methods"]}
        for split in ("train", "test")
    )
    return sorted(tested - trained) if trained else []


def _repeats(takes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two of the clip's takes share footage."""
    total = sum(take["duration_seconds"] for take in takes)
    return bool(total - _footage_seconds([{"takes": takes}]) > 0.02)
