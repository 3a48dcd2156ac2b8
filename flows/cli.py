"""The `iamsb` command: `flows.commandline` has its options, `flows.commands` carries them out.

Exit codes: 0 done, 1 failed, 2 wrong usage. State lives under IAMSB_HOME (default `.iamsb` in the current folder).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.commandline import (
    comparing,
    datasets,
    desk,
    experiment,
    features,
    localize,
    machine,
    models,
    reproducing,
    retention,
    scoring,
    submission,
    tuning,
    watch,
)
from flows.commandline.options import app
from flows.commandline.panels import arrange
from flows.terminal import DONE, end_on_sigterm

__all__ = [
    "app",
    "comparing",
    "datasets",
    "desk",
    "experiment",
    "features",
    "localize",
    "machine",
    "main",
    "models",
    "reproducing",
    "retention",
    "scoring",
    "submission",
    "tuning",
    "watch",
]

arrange(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        end_on_sigterm()
    try:
        app(given, prog_name="iamsb")
    except SystemExit as end:
        return int(end.code or DONE)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
