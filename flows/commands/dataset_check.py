"""`iamsb dataset check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.environment import Orchestrator
from flows.terminal import Terminal, UsageError
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import ValidationReport, validate
from iamsb_core.digest import digest, plain
from iamsb_core.manifest import Manifest
from storage.home import Home
from tasks import progress

_NUM_EXAMPLES = 3


def check(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    probe: bool,
    out: Path | None,
    workers: int | None,
    dask_address: str | None,
) -> dict[str, Any]:
    """Validate a dataset, write its report, show it; failed where a finding is an error."""
    del orchestrator
    if not probe and (workers is not None or dask_address is not None):
        raise UsageError("--workers and --dask-address are for reading media files; add --probe")
    manifest = read_dataset(name, root)
    probes = _probes(manifest, workers, dask_address) if probe else None
    report = validate(
        manifest,
        probes=probes,
        progress=lambda num_files: progress.report("look", min(num_files, len(manifest.videos)), len(manifest.videos)),
    )
    folder = _folder(name, manifest.root) if out is None else out.absolute()
    document = {"failed": not report.ok, **plain(report)}
    files = _write(folder, report, document)
    show(terminal, report)
    terminal.say(f"page: {files['html']}")
    return {**document, "files": files}


def _probes(manifest: Manifest, workers: int | None, dask_address: str | None) -> Any:
    from storage.media_index import MediaIndex  # noqa: PLC0415
    from tasks.probing import probe_dataset  # noqa: PLC0415 - imports Dask, which a check of the list does not need

    index = MediaIndex(Home.current().media_index)
    return probe_dataset(manifest, index, num_threads=workers, dask_address=dask_address)


def _folder(name: str, root: Path) -> Path:
    """One place for each dataset folder: a later check of it replaces the report."""
    return Home.current().reports / f"dataset-{name}-{digest(str(root))[:8]}"


def _write(folder: Path, report: ValidationReport, document: dict[str, Any]) -> dict[str, str]:
    from iamsb_core.report.dataset_page import render_dataset_page  # noqa: PLC0415 - the report package is heavy
    from storage.staging import write_atomically  # noqa: PLC0415

    files = {"json": folder / "report.json", "html": folder / "report.html"}
    write_atomically(files["html"], render_dataset_page(report).encode("utf-8", "backslashreplace"), durable=False)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(files["json"], (text + "\n").encode("utf-8", "backslashreplace"), durable=False)
    return {kind: str(path) for kind, path in files.items()}


def show(terminal: Terminal, report: ValidationReport) -> None:
    """The splits and the findings in words."""
    rows = [
        (size.split, *map(str, (size.num_videos, size.num_forged, size.num_segments, size.num_identities)))
        for size in report.splits
    ]
    terminal.table(f"{report.name} at {report.root}", ("split", "videos", "forged", "segments", "people"), rows)
    for one in report.findings:
        terminal.say(f"{one.severity}: {one.message}")
        for instance in one.instances[:_NUM_EXAMPLES]:
            terminal.say(f"    {instance.message}")
        if one.count > _NUM_EXAMPLES and one.instances:
            terminal.say(f"    ... and {one.count - _NUM_EXAMPLES:,} more")
        terminal.say(f"    to do: {one.advice}")
    if report.ok:
        terminal.say("no errors")
