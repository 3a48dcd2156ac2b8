"""Options of the commands that fill and look after the feature store."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import (
    BadShare,
    Dask,
    Debug,
    Device,
    Encoders,
    Json,
    Name,
    Perturb,
    Root,
    ShardSize,
    StoredAs,
    Workers,
    app,
    carry_out,
    features_app,
)


@app.command()
def extract(
    name: Name,
    root: Root,
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    shard_size: ShardSize = 64,
    workers: Workers = None,
    dask_address: Dask = None,
    max_bad_share: BadShare = 0.5,
    perturb: Perturb = None,
    store_as: StoredAs = "float16",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decode and encode every video that is not in the feature store yet."""
    carry_out(
        "features.extract",
        as_json,
        debug,
        name=name,
        root=root,
        encoders=encoders,
        device=device,
        shard_size=shard_size,
        workers=workers,
        dask_address=dask_address,
        max_bad_share=max_bad_share,
        perturb=tuple(perturb or ()),
        stored_as=store_as,
    )


@features_app.command("export")
def features_export(
    name: Name,
    root: Root,
    out: Annotated[Path, typer.Argument(help="Folder for the .npy files.")],
    encoders: Encoders = "handcrafted",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One .npy for each clip and stream with a JSON clock beside it, for use in other projects."""
    carry_out("features.export", as_json, debug, name=name, root=root, out=out, encoders=encoders)


@features_app.command("verify")
def features_verify(as_json: Json = False, debug: Debug = False) -> None:
    """Read every stored byte and say which packs are damaged; exit code 1 where any is."""
    carry_out("features.verify", as_json, debug)


@features_app.command("repair")
def features_repair(as_json: Json = False, debug: Debug = False) -> None:
    """Drop damaged packs, so that the next extraction makes them anew."""
    carry_out("features.repair", as_json, debug)
