"""Options of `iamsb watch`."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from typing import Annotated

import typer

from flows.commandline.options import CHAMPION, Debug, Device, Model, app, carry_out


@app.command()
def watch(
    source: Annotated[
        str, typer.Argument(help="A file that is being written, a named pipe, or `-` for standard input.")
    ],
    model: Model = CHAMPION,
    delay_seconds: Annotated[
        float,
        typer.Option(help="How long after its end a segment is printed at the latest, on a machine that keeps up."),
    ] = 3.0,
    as_offline: Annotated[
        bool,
        typer.Option(
            "--as-offline",
            help="Print what `localize` will say of the finished recording; it takes half a minute more.",
        ),
    ] = False,
    idle_seconds: Annotated[float, typer.Option(min=0.1, help="A file that has not grown for so long is over.")] = 10.0,
    device: Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line on stdout, logs on stderr.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Say when, and in which stream, media is forged while it is still being written.

    Reads MPEG-TS, MKV, WebM, fragmented MP4 and WAV. Prints a segment once it settled, and a summary at the end; Ctrl-C
    ends it there. By default scores and ends may differ a little from those of `localize`, which sees what follows.

    With --json each line is one object: `event` is `segment`, and `end` for the last.
    """
    carry_out(
        "watch.watch",
        as_json,
        debug,
        source=source,
        model=model,
        delay_seconds=delay_seconds,
        as_offline=as_offline,
        idle_seconds=idle_seconds,
        device=device,
    )
