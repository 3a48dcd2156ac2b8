"""Options of the command that repeats the paper's ablations."""

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
def reproduce(
    name: Name,
    root: Root,
    sweeps: Annotated[
        str, typer.Option(help="bridges, witnesses, coarse-steps, step-budget, allocation, with commas; or all.")
    ] = "all",
    retrain: Annotated[
        str,
        typer.Option(help="Sweeps whose points are trained by themselves too (bridges and coarse-steps always are)."),
    ] = "",
    witnesses: Annotated[str, typer.Option(help="Values of k, with commas.")] = "2,4,8,16,32,64",
    coarse_steps: Annotated[str, typer.Option(help="Values of S_c, with commas.")] = "1,2,3",
    step_budgets: Annotated[
        str, typer.Option(help="Even values of S_tgt, with commas; 0: coarse only.")
    ] = "0,4,8,12,16",
    seeds: Seeds = "0",
    size: Size = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="For every training (default: those of the size).")] = None,
    split: Split = "test",
    protocol: Protocol = "lavdf",
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    out: PageFolder = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Repeat IaMSB's ablations and studies on a dataset: one page with the paper's tables beside ours."""
    carry_out(
        "reproducing.reproduce",
        as_json,
        debug,
        name=name,
        root=root,
        sweeps=sweeps,
        retrain=retrain,
        witnesses=witnesses,
        coarse_steps=coarse_steps,
        step_budgets=step_budgets,
        seeds=seeds,
        size=size,
        epochs=epochs,
        split=split,
        protocol=protocol,
        encoders=encoders,
        device=device,
        out=out,
    )
