"""Options of the command that answers named questions."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from typing import Annotated

import typer

from flows.commandline.options import Debug, Device, Json, PageFolder, Protocol, Seeds, Size, Split, app, carry_out


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="Which question; without it, all are listed.")] = "",
    places: Annotated[
        list[str] | None, typer.Argument(help="DATASET ROOT, and more pairs where it crosses datasets.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="What can be asked, with its source.")] = False,
    systems: Annotated[
        str, typer.Option(help="Names with commas, for questions that any system can be asked (default: its own).")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a variant; may be repeated (default: all of them).")
    ] = None,
    seeds: Seeds = "0",
    size: Size = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="For every variant (default: its schedule's).")] = None,
    train_clips: Annotated[
        int | None, typer.Option(min=1, help="Train on so many clips at most (default: all).")
    ] = None,
    encoders: Annotated[str | None, typer.Option(help="As of `iamsb train` (default: the question's own).")] = None,
    tuning: Annotated[
        str,
        typer.Option(help="How encoders are tuned, where they are, such as epochs=8,encoder_learning_rate=0.0001."),
    ] = "",
    kinds: Annotated[str, typer.Option(help="Of perturbation, with commas (default: the question's own).")] = "",
    levels: Annotated[str, typer.Option(help="Of perturbation, 1 to 5, with commas (default: its own).")] = "",
    split: Split = "test",
    protocol: Protocol = "lavdf",
    device: Device = "auto",
    out: PageFolder = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer one of the papers' open questions: variants trained and scored, a page, and a finding in sentences."""
    if listed or not name:
        carry_out("experiment.listed", as_json, debug)
    carry_out(
        "experiment.experiment",
        as_json,
        debug,
        name=name,
        places=places or [],
        systems=systems,
        only=tuple(only or ()),
        kinds=kinds,
        levels=levels,
        num_clips=train_clips,
        seeds=seeds,
        size=size,
        epochs=epochs,
        encoders=encoders,
        tuning=tuning,
        split=split,
        protocol=protocol,
        device=device,
        out=out,
    )
