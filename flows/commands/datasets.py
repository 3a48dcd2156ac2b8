"""`iamsb forge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal
from iamsb_core.digest import plain
from iamsb_core.forgery.presets import adjusted, preset

DRAWN = "drawn"
"""given for the folder of real clips: people that the program draws"""


def forge(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    media: Path,
    out: Path,
    preset_name: str,
    changes: dict[str, Any],
    config: Path | None,
    seed: int,
    identities: Path | None,
    licence: str | None,
) -> dict[str, Any]:
    """Run the forging flow. changes: for `adjusted`, None where the preset's own value stays."""
    drawn = str(media) == DRAWN
    if not drawn and not media.is_dir():
        raise ValueError(f"{media} is not a folder; give a folder of real clips, or `{DRAWN}` for drawn people")
    chosen = adjusted(preset(preset_name), given=_read(config), **changes)
    serve(orchestrator)
    from flows.forge import forge as flow  # noqa: PLC0415 - after the quick check

    source = None if drawn else media.absolute()
    done = flow(out.absolute(), source, chosen, seed, identities=identities, licence=licence)
    show(terminal, done)
    card = done.out / "data_card.html"
    terminal.say(f"card: {card}")
    return {**plain(done), "card": str(card)}


def _read(config: Path | None) -> dict[str, Any] | None:
    if config is None:
        return None
    given = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else None
    if not isinstance(given, dict):
        raise ValueError(f"{config} must be a JSON object with fields of the forgery builder's configuration")
    return given


def show(terminal: Terminal, done: Any) -> None:
    """What was made, split by split."""
    rows = []
    for split, one in done.splits.items():
        counts = (one.num_people, one.num_clips, one.num_real, one.num_segments_audio, one.num_segments_visual)
        rows.append((split, *map(str, counts), f"{one.duration_seconds:.0f}"))
    columns = ("split", "people", "clips", "real", "audio segments", "visual segments", "seconds")
    terminal.table(f"{done.out}{' (made before)' if done.reused else ''}", columns, rows)
    for name, reason in done.skipped:
        terminal.say(f"left out: {name}: {reason}")
