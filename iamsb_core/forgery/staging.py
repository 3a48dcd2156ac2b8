"""A folder that appears whole or not at all, and whose making can be killed and taken up again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iamsb_core.datasets.media_files import listing
from iamsb_core.datasets.stream_truth import STREAMS_FILE

log = logging.getLogger(__name__)

_MARK = "forging.json"


def finished(out: Path, identity: str) -> dict[str, Any] | None:
    """The head of metadata.streams.json where `out` is this very dataset; None where there is nothing yet.

    Raises ValueError where anything else is there: nothing is written over.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    way_out = "choose another folder, or remove this one"
    if not out.is_dir():
        raise ValueError(f"{out} is a file; {way_out}")
    if not (out / STREAMS_FILE).is_file():
        raise ValueError(f"{out} already holds something else ({listing(out)}); {way_out}")
    with contextlib.suppress(ValueError):
        document = json.loads((out / STREAMS_FILE).read_text(encoding="utf-8"))
        if isinstance(document, dict) and document.get("digest") == identity:
            return document
    raise ValueError(f"{out} already holds a dataset forged from other media, settings or seed; {way_out}")


@contextlib.contextmanager
def staged(out: Path, identity: str) -> Iterator[Path]:
    """A private folder beside `out` that becomes `out` in one step when the block ends without an error.

    What an interrupted block with the same identity left there is found again; with another identity it is removed.
    Raises ValueError while another process is making the same folder.
    """
    folder = out.with_name(f".{out.name}.forging")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{out} is being forged by another process; wait for it to end") from None
        _take_up(folder, identity)
        try:
            yield folder
        except ValueError:  # what the user must change first; a crash or a kill leaves everything to be taken up
            shutil.rmtree(folder)
            raise
        (folder / _MARK).unlink()
        if out.is_dir():
            out.rmdir()
        folder.rename(out)
    finally:
        os.close(handle)


def _take_up(folder: Path, identity: str) -> None:
    mark = folder / _MARK
    if mark.is_file() and mark.read_text() == identity:
        log.info("taking up what an interrupted run left in %s", folder)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    mark.write_text(identity)
