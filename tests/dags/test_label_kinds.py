"""Clips that are labelled as a whole, in no known stream, or not at all: what train and evaluate make of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_work import tiny_training

from flows.evaluate import evaluate
from flows.train import train

pytestmark = pytest.mark.usefixtures("prefect_server", "home")


def relabelled(dataset: Path, name: str, label_of: Callable[[str, int], dict[str, str]]) -> Path:
    """A generic manifest over the clips of a dataset; labels by split and number."""
    lines = []
    for split in ("train", "dev", "test"):
        for number, path in enumerate(sorted((dataset / split).glob("*.mp4"))):
            entry = {"path": f"{split}/{path.name}", "split": split, **label_of(split, number)}
            lines.append(json.dumps(entry))
    (dataset / name).write_text("\n".join(lines))
    return dataset / name


def whole(split: str, number: int) -> dict[str, str]:
    return {"label": "clip"} | ({"modality": "visual"} if number % 2 else {})


def test_whole_clips_are_trained_on_and_scored_by_their_auc(tiny_dataset: Path) -> None:
    root = relabelled(tiny_dataset, "whole.jsonl", whole)
    trained = train(root, "generic", tiny_training())
    assert 0.0 <= trained.metrics["selection"] <= 1.0
    done = evaluate(root, "generic", trained.model.uri, baselines=False)
    assert done.report.auc is not None
    assert set(done.report.ap.values()) == {None}
    assert done.selection == done.report.auc
    assert done.report.counts.forged_clips == 1
    assert any("whole clips" in warning for warning in done.report.warnings)

    either = relabelled(
        tiny_dataset, "either.jsonl", lambda _, n: whole(_, n) | ({"modality": "either"} if n % 2 else {})
    )
    assert evaluate(either, "generic", trained.model.uri, baselines=False).report.auc == done.report.auc
    with pytest.raises(ValueError, match="not in which stream, and training needs to know"):
        train(either, "generic", tiny_training())

    hidden = relabelled(tiny_dataset, "hidden.jsonl", lambda split, n: {"label": "none"} if split == "test" else {})
    with pytest.raises(ValueError, match=r"the test split of generic .* has no labels.*`iamsb predict`"):
        evaluate(hidden, "generic", trained.model.uri)
