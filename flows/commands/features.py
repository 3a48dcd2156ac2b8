"""`iamsb extract` and `iamsb features ...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal
from iamsb_core.digest import plain
from storage.export import export_features
from storage.feature_store import FeatureStore
from storage.home import Home
from tasks import progress

_NUM_BAD_SHOWN = 40


def extract(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    workers: int | None,
    dask_address: str | None,
    **config: Any,
) -> dict[str, Any]:
    """Run the extraction flow and list what could not be used; failed where that is more than allowed."""
    serve(orchestrator)
    # Imports Prefect, which reads the server's address.
    from flows.extract import ExtractConfig, TooManyBadVideosError  # noqa: PLC0415
    from flows.extract import extract as extract_flow  # noqa: PLC0415
    from tasks.policy import MAX_WORKERS_VARIABLE, runner  # noqa: PLC0415

    if workers is not None:
        os.environ[MAX_WORKERS_VARIABLE] = str(workers)  # each shard takes its part of the cores by it
    flow = extract_flow.with_options(task_runner=runner(workers, dask_address))
    try:
        done, failure = flow(root, name, ExtractConfig(**config)), {}
    except TooManyBadVideosError as error:
        terminal.messages.print(f"iamsb: {error}", markup=False, highlight=False, soft_wrap=True)
        done, failure = error.extraction, {"error": str(error), "failed": True}
    show(terminal, done)
    return {**plain(done), "store": str(done.store), "num_bad": done.num_bad, **failure}


def show(terminal: Terminal, done: Any) -> None:
    """The outcome of an extraction in words."""
    if done.bad:
        rows = [(one.path, one.stream, one.kind, one.reason) for one in done.bad[:_NUM_BAD_SHOWN]]
        more = f", the first {_NUM_BAD_SHOWN} of {len(done.bad)}" if len(done.bad) > _NUM_BAD_SHOWN else ""
        terminal.table(f"bad videos{more}", ("file", "stream", "kind", "reason"), rows)
    terminal.say(
        f"{done.num_videos} videos in {done.num_shards} shards, {done.num_cached_shards} of them cached: "
        f"{done.num_decoded} decoded now, {done.num_bad} bad; features in {done.store}"
    )


def export(
    terminal: Terminal, *, orchestrator: Orchestrator, name: str, root: Path, out: Path, encoders: str
) -> dict[str, Any]:
    """Write features that are in the store as .npy files with JSON clocks."""
    del orchestrator
    from tasks.features import choose_encoders, take_stock  # noqa: PLC0415 - imports Prefect, which takes a second

    home = Home.current()
    specs = choose_encoders.fn(encoders)
    stock = take_stock.fn(name, root, home)
    done = export_features(FeatureStore(home.feature_place), specs, stock.manifest.videos, out)
    if not done.num_files:
        reason = next(iter(done.skipped.values()), "the dataset has no videos")
        raise ValueError(f"nothing to export: {reason}; run `iamsb extract {name} {root} --encoders {encoders}` first")
    terminal.say(f"{done.num_files} files, {done.num_bytes / 1e6:.1f} MB, in {out}; {len(done.skipped)} skipped")
    for what, reason in list(done.skipped.items())[:_NUM_BAD_SHOWN]:
        terminal.say(f"  {what}: {reason}")
    return {"out": out, **plain(done)}


def verify(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """Read every byte of the store; failed where a pack is damaged."""
    del orchestrator
    report = FeatureStore(Home.current().feature_place).verify(
        progress=lambda done, total: progress.report("verify", done, total)
    )
    for pack in report.damaged:
        terminal.say(f"damaged: {pack.folder}: {'; '.join(pack.problems)}")
    terminal.say(
        f"{report.num_packs} packs, {report.num_clips} clips, {report.num_bytes / 1e6:.1f} MB, "
        f"{len(report.damaged)} damaged" + ("; `iamsb features repair` drops them" if report.damaged else "")
    )
    return {"failed": not report.is_sound, **plain(report)}


def repair(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """Drop damaged packs."""
    del orchestrator
    dropped = FeatureStore(Home.current().feature_place).repair()
    for pack in dropped:
        terminal.say(f"dropped {pack.folder}: {'; '.join(pack.problems)}")
    terminal.say("extract again to make them anew" if dropped else "nothing is damaged")
    return {"dropped": plain(dropped)}
