"""Options of the commands that look after a home: what may go, backup and restore, older formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import Debug, Json, app, carry_out

store_app = typer.Typer(help="Look after the formats of what is stored.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@app.command()
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it nothing is changed.")] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="What to look for: staging, checkpoints, runs, dead-features, perturbed-features, unused-features, "
            "scratch (default: all but unused-features); may be given again."
        ),
    ] = None,
    days: Annotated[
        float, typer.Option(min=0.0, help="Leave alone what was touched in so many days (staging: at once).")
    ] = 30.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what nobody needs any more, with sizes and reasons; with --apply, delete it.

    Models, the registry, reports, predictions, the desk, and features that a model needs are never deleted.
    """
    carry_out("retention.gc", as_json, debug, apply=apply, kinds=tuple(kind or ()), days=days)


@app.command()
def backup(
    out: Annotated[Path, typer.Argument(help="A new folder for the backup.")],
    features: Annotated[bool, typer.Option("--features", help="The feature store too; it can be made again.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write what cannot be made again into a folder: runs, models, registry, reports, predictions, the desk.

    Services and commands may be at work meanwhile: the databases are copied as of one moment.
    """
    carry_out("retention.backup", as_json, debug, out=out, features=features)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `iamsb backup` wrote.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a backup byte by byte and make IAMSB_HOME, which must be empty or absent, from it."""
    carry_out("retention.restore", as_json, debug, folder=folder)


@store_app.command("migrate")
def store_migrate(as_json: Json = False, debug: Debug = False) -> None:
    """Bring features and the MLflow database of an older release to this one's formats; stop the services first."""
    carry_out("retention.migrate", as_json, debug)
