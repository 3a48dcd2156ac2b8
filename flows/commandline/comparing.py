"""Options of the commands that set systems side by side."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import Debug, Device, Encoders, Json, Name, Root, app, carry_out


@app.command()
def compare(
    name: Name,
    root: Root,
    also: Annotated[list[str] | None, typer.Option(help="Another dataset, as NAME=ROOT; may be repeated.")] = None,
    systems: Annotated[
        str, typer.Option(help="Names with commas; the others are compared with the first (default: all, iamsb first).")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Numbers with commas; every system is trained with each.")] = "0,1,2",
    size: Annotated[str, typer.Option(help="paper or compact, for everyone; auto: by the machine.")] = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="For everyone (default: IaMSB's at that size).")] = None,
    split: Annotated[str, typer.Option(help="dev or test.")] = "test",
    protocol: Annotated[str, typer.Option(help="lavdf, av-deepfake1m, activitynet or ddl-av.")] = "lavdf",
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for arena.html (default: IAMSB_HOME/reports).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train and score systems under the same conditions: one page with intervals, errors, cost and slices."""
    carry_out(
        "comparing.compare",
        as_json,
        debug,
        name=name,
        root=root,
        also=also or [],
        systems=systems,
        seeds=seeds,
        size=size,
        epochs=epochs,
        split=split,
        protocol=protocol,
        encoders=encoders,
        device=device,
        out=out,
    )
