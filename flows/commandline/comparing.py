"""Options of the commands that set systems side by side."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from typing import Annotated

import typer

from flows.commandline.options import (
    Debug,
    Device,
    Encoders,
    Json,
    Name,
    PageFolder,
    Protocol,
    Root,
    Seeds,
    Size,
    Split,
    app,
    carry_out,
)


@app.command()
def compare(
    name: Name,
    root: Root,
    also: Annotated[list[str] | None, typer.Option(help="Another dataset, as NAME=ROOT; may be repeated.")] = None,
    systems: Annotated[
        str, typer.Option(help="Names with commas; the others are compared with the first (default: all, iamsb first).")
    ] = "",
    seeds: Seeds = "0,1,2",
    size: Size = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="For everyone (default: IaMSB's at that size).")] = None,
    split: Split = "test",
    protocol: Protocol = "lavdf",
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    out: PageFolder = None,
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
