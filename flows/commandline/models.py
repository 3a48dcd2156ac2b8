"""Options of the commands that train, measure and use models."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import (
    CHAMPION,
    Debug,
    Device,
    Encoders,
    Json,
    Model,
    Name,
    PageFolder,
    Perturb,
    Protocol,
    Root,
    Split,
    app,
    carry_out,
)


@app.command()
def train(
    name: Name,
    root: Root,
    system: Annotated[str, typer.Option(help="What to train: iamsb, or the name of another system.")] = "iamsb",
    size: Annotated[
        str, typer.Option(help="A preset of the system: paper, compact or one of its own; auto: by the machine.")
    ] = "auto",
    schedule: Annotated[str | None, typer.Option(help="A schedule of the system's own, such as long.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training split (default: the schedule's).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice (default: 0).")] = None,
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share every batch, on each machine: one for each GPU.")
    ] = 1,
    machines: Annotated[int, typer.Option(min=1, help="Machines that train together; this is the first.")] = 1,
    rendezvous: Annotated[str, typer.Option(help="HOST:PORT of this machine, where the others meet it.")] = "",
    config: Annotated[Path | None, typer.Option(help="JSON file with the whole training configuration.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a system on extracted features; a run that was stopped goes on at its last checkpoint."""
    carry_out(
        "models.train",
        as_json,
        debug,
        name=name,
        root=root,
        system=system,
        size=size,
        schedule=schedule,
        epochs=epochs,
        seed=seed,
        encoders=encoders,
        device=device,
        processes=processes,
        machines=machines,
        rendezvous=rendezvous,
        config=config,
    )


@app.command()
def evaluate(
    name: Name,
    root: Root,
    model: Model = CHAMPION,
    split: Split = "test",
    protocol: Protocol = "lavdf",
    device: Device = "auto",
    perturb: Perturb = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """AP, AR and AUC of a model, overall and for each stream, beside two baselines."""
    carry_out(
        "models.evaluate",
        as_json,
        debug,
        name=name,
        root=root,
        model=model,
        split=split,
        protocol=protocol,
        device=device,
        perturb=tuple(perturb or ()),
    )


@app.command()
def robustness(
    name: Name,
    root: Root,
    model: Model = CHAMPION,
    kinds: Annotated[str, typer.Option(help="Comma between them, such as jpeg,aac.")] = "all",
    levels: Annotated[str, typer.Option(help="Comma between them, 1 (weakest) to 5.")] = "1,2,3,4,5",
    split: Split = "test",
    protocol: Protocol = "lavdf",
    seed: Annotated[int, typer.Option(min=0, help="Of what the perturbations draw.")] = 0,
    out: PageFolder = None,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a model on clips that are made worse: 12 kinds of perturbation at 5 levels; a table and a page of curves.

    Kinds of the picture: jpeg, h264, blur, pixel-noise, saturation, contrast, blocks; of the sound: sound-noise, pitch,
    reverb, aac, resample.
    """
    carry_out(
        "robustness.robustness",
        as_json,
        debug,
        name=name,
        root=root,
        model=model,
        kinds=kinds,
        levels=levels,
        split=split,
        protocol=protocol,
        seed=seed,
        out=out,
        device=device,
    )


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="A version's number (default: the champion before this one).")] = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the model that was champion before the champion again, or the version that is named."""
    carry_out("rollback.rollback", as_json, debug, version=version)
