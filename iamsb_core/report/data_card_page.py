"""Writes a forged dataset's card beside it: data_card.json, and data_card.html, one page without network or script."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import templates
from iamsb_core.report.data_card import STREAM_NAMES, data_card
from iamsb_core.report.data_card_pictures import example_view

CARD_FILES = ("data_card.html", "data_card.json")
_NOUNS = {"audio": "Sound", "visual": "Picture"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One class of segment lengths in one split."""

    label: str
    count: int
    percent: float
    """of the stream's segments in the split"""


def write_data_card(dataset: Path, *, licence: str | None = None) -> Path:
    """Write the card of a dataset that `iamsb_core.forgery.forge` made; where its page is.

    A card that is there already and says the same is left alone. licence: of the sources, as the user states it;
    None keeps what an earlier card says. Raises ValueError where the folder is no such dataset.
    """
    page, document = (dataset / name for name in CARD_FILES)
    stored = json.loads(document.read_text(encoding="utf-8")) if document.is_file() and page.is_file() else None
    card = data_card(dataset, licence=licence)
    if stored is not None and licence is None:
        card["sources"]["licence"] = stored["sources"]["licence"]
    if stored == card:
        return page
    _replace(page, render_data_card(dataset, card))
    _replace(document, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return page


def render_data_card(dataset: Path, card: Mapping[str, Any]) -> str:
    """The page of this card; the examples' pictures are taken from the dataset's clips."""
    with MediaDecoder() as decoder:
        views = [example_view(dataset, example, decoder) for example in card["examples"]]
    return (
        templates.environment()
        .get_template("data_card.html.jinja")
        .render(
            card=card,
            views=[(_NOUNS[name], [view for view in views if view.example["stream"] == name]) for name in STREAM_NAMES],
            methods={name: _methods(card, name) for name in STREAM_NAMES},
            bars={name: {split: _bars(card, split, name) for split in card["splits"]} for name in STREAM_NAMES},
            config=json.dumps(card["config"], indent=1),
            nouns=_NOUNS,
            style=templates.assets(*_STYLES),
        )
    )


_STYLES = ("report.css", "data_card.css")


def _methods(card: Mapping[str, Any], stream: str) -> list[tuple[str, list[int]]]:
    """Each method with the number of segments in each split."""
    splits = [split["streams"][stream]["methods"] for split in card["splits"].values()]
    return [(name, [split.get(name, 0) for split in splits]) for name in sorted({n for split in splits for n in split})]


def _bars(card: Mapping[str, Any], split: str, stream: str) -> list[Bar]:
    counts = card["splits"][split]["streams"][stream]["length_counts"]
    edges = card["length_edges_seconds"]
    labels = [f"{low:g} to {high:g} s" for low, high in pairwise(edges)] + [f"over {edges[-1]:g} s"]
    total = max(1, sum(counts))
    return [Bar(label, count, round(100 * count / total, 1)) for label, count in zip(labels, counts, strict=True)]


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
