"""Options of the analyst's desk."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from typing import Annotated

import typer

from flows.commandline.options import Debug, Device, Json, app, carry_out


@app.command()
def desk(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where it listens (default: 8787 or the next free).")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="URI or folder of a model to offer beside the registry's; may be given again."),
    ] = None,
    analyst: Annotated[str, typer.Option(help="Who corrects (default: this account's name).")] = "",
    max_upload_gib: Annotated[float, typer.Option(min=0.001, help="The largest file that is taken.")] = 4.0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Open a page on this machine to examine a video, compare models, correct what they say, and export.

    It answers this machine only, and keeps files, reports and corrections under IAMSB_HOME/desk. Ctrl-C closes it.
    """
    carry_out(
        "desk.desk",
        as_json,
        debug,
        port=port,
        models=tuple(model or ()),
        analyst=analyst,
        max_upload_gib=max_upload_gib,
        open_browser=open_browser,
        device=device,
    )
