"""Options of the commands that examine videos and export what was found."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import CHAMPION, Debug, Device, Json, Model, app, carry_out

_FORMATS = "vtt, srt, csv, eaf, audacity, textgrid, edl, ffmetadata or all; several by commas"


@app.command()
def localize(
    videos: Annotated[
        list[Path], typer.Argument(help="Video or sound files, folders, or patterns in quotes.", metavar="VIDEO")
    ],
    model: Model = CHAMPION,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports (default: IAMSB_HOME/reports).")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Look below folders too.")] = False,
    export: Annotated[str, typer.Option(help=f"Also write {_FORMATS}.", metavar="FORMATS")] = "",
    again: Annotated[bool, typer.Option("--again", help="Examine what was examined before, too.")] = False,
    false_alarms_per_hour: Annotated[
        float, typer.Option(min=0.0, help="How often genuine video may be called forged, per hour of it.")
    ] = 1.0,
    embed_video: Annotated[
        bool, typer.Option("--embed-video", help="Put the video into its page (up to 64 MiB).")
    ] = False,
    fail_on_forged: Annotated[bool, typer.Option("--fail-on-forged", help="Exit code 3 if any is forged.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say when, and in which stream, videos were forged: report.json, report.html and subtitles for each.

    Several videos get a summary and an index page. What was examined before is not examined again.

    Exit codes: 0 all examined, 1 some could not be, 2 wrong usage, 3 forged (with --fail-on-forged).
    """
    carry_out(
        "localize.localize",
        as_json,
        debug,
        videos=videos,
        model=model,
        out=out,
        recursive=recursive,
        export=export,
        again=again,
        false_alarms_per_hour=false_alarms_per_hour,
        embed_video=embed_video,
        fail_on_forged=fail_on_forged,
        device=device,
    )


@app.command()
def export(
    report: Annotated[Path, typer.Argument(help="A report.json, or the folder that holds it.", metavar="REPORT")],
    to: Annotated[str, typer.Option("--format", help=f"{_FORMATS[0].upper()}{_FORMATS[1:]}.", metavar="FORMATS")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files (default: beside the report).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a report's segments for other programs: subtitles, ELAN, Audacity, Praat, editing lists, chapters."""
    carry_out("localize.export", as_json, debug, report=report, formats=to, out=out)
