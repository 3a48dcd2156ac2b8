"""Options of the commands that make and check datasets."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import Debug, Json, Name, Root, app, carry_out, dataset_app


@app.command()
def demo(
    media: Annotated[Path | None, typer.Option(help="Folder of real clips; without it, clips are drawn.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small dataset and a short training.")] = False,
    seed: Annotated[int, typer.Option(help="Of the drawn data and the training.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forge a dataset, extract, train, evaluate on people never seen, and report on unseen clips."""
    carry_out("demo.demo", as_json, debug, media=media, quick=quick, seed=seed)


@app.command()
def forge(
    media: Annotated[Path, typer.Argument(help="Folder of real clips, or `drawn` for people that are drawn.")],
    out: Annotated[Path, typer.Argument(help="New folder for the dataset and its data card.")],
    preset: Annotated[
        str, typer.Option(help="quick, demo, real, benchmark, unseen-methods, asynchronous, long or extended.")
    ] = "real",
    quick: Annotated[bool, typer.Option("--quick", help="The same as --preset quick.")] = False,
    layout: Annotated[str | None, typer.Option(help="lavdf or av-deepfake1m (default: the preset's).")] = None,
    difficulty: Annotated[str | None, typer.Option(help="easy, medium or hard (default: the preset's).")] = None,
    placement: Annotated[str | None, typer.Option(help="speech, or asynchronous as DDL-AV's.")] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="Clips in all splits (default: the preset's).")] = None,
    people: Annotated[int | None, typer.Option(min=1, help="Use so many people (default: all).")] = None,
    identities: Annotated[Path | None, typer.Option(help="CSV (file,person) or JSON: who is in which file.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the real clips, for the data card.")] = None,
    config: Annotated[Path | None, typer.Option(help="JSON with other fields of the configuration.")] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a dataset of partial forgeries with exact truth from real clips, and its data card."""
    carry_out(
        "datasets.forge",
        as_json,
        debug,
        media=media,
        out=out,
        preset_name="quick" if quick else preset,
        changes={
            "layout": layout,
            "difficulty": difficulty,
            "placement": placement,
            "num_clips": clips,
            "num_people": people,
        },
        config=config,
        seed=seed,
        identities=identities,
        licence=licence,
    )


@dataset_app.command("check")
def dataset_check(
    name: Name,
    root: Root,
    probe: Annotated[bool, typer.Option("--probe", help="Read every media file too; what was read is kept.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report (default: in IAMSB_HOME/reports).")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Files at a time (default: every core).")] = None,
    dask_address: Annotated[str | None, typer.Option(help="Address of a Dask scheduler that spreads files.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is wrong with a dataset, as JSON and as a page; exit code 1 where something makes numbers wrong."""
    carry_out(
        "dataset_check.check",
        as_json,
        debug,
        name=name,
        root=root,
        probe=probe,
        out=out,
        workers=workers,
        dask_address=dask_address,
    )
