"""What every command's options share: the apps, the common options, and the way into `flows.commands`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from flows.commandline.panels import EXAMPLES, OrderedGroup
from flows.terminal import Terminal

app = typer.Typer(
    cls=OrderedGroup,
    help="Says when, and in which stream, an audio-visual video was forged.\n\n"
    "Models, features and reports live under IAMSB_HOME (default: .iamsb in the current folder).",
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dataset_app = typer.Typer(help="Look at datasets.", no_args_is_help=True)
features_app = typer.Typer(help="Look after the feature store.", no_args_is_help=True)
app.add_typer(dataset_app, name="dataset")
app.add_typer(features_app, name="features")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, logs on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of a failure.")]
Name = Annotated[
    str,
    typer.Argument(
        help="Layout: lavdf, tvil, av-deepfake1m, av-deepfake1m-plusplus, ddl-av, fakeavceleb, dfdc, dfdc-preview, "
        "demo, or generic (a manifest of your own, or a folder of videos)."
    ),
]
Root = Annotated[Path, typer.Argument(help="The dataset's folder, or a generic manifest file.")]
Encoders = Annotated[
    str,
    typer.Option(
        help="`handcrafted` or `wavlm-clip`, either with `-lips`, or a pair as `wavlm:ID_OR_FOLDER+clip:ID_OR_FOLDER`."
    ),
]
Device = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`.")]
Split = Annotated[str, typer.Option(help="train, dev or test.")]
Protocol = Annotated[str, typer.Option(help="lavdf, av-deepfake1m, activitynet or ddl-av.")]
Seeds = Annotated[str, typer.Option(help="Numbers with commas; all that is trained is trained with each.")]
Size = Annotated[str, typer.Option(help="A preset that every system has: paper or compact; auto: by the machine.")]
PageFolder = Annotated[Path | None, typer.Option(help="Folder for the page (default: one in IAMSB_HOME/reports).")]
Workers = Annotated[int | None, typer.Option(min=1, help="Shards at a time (default: 2).")]
Dask = Annotated[str | None, typer.Option(help="Address of a Dask scheduler that spreads the shards.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Videos in a shard at most.")]
BadShare = Annotated[float, typer.Option(min=0.0, max=1.0, help="Fail when more than this share is unusable.")]
StoredAs = Annotated[
    Literal["float16", "float32", "int8"],
    typer.Option(help="What the store keeps of each number; int8 takes half the room of float16."),
]
Perturb = Annotated[
    list[str] | None,
    typer.Option(help="Perturb the clips first: KIND:LEVEL, such as jpeg:3; may be given again.", metavar="KIND:LEVEL"),
]
Model = Annotated[str, typer.Option(help="URI that `train` printed, a model folder, or the champion.")]

CHAMPION = "models:/iamsb@champion"
WITHOUT_FLOWS = frozenset(
    {
        "dataset_check.check",
        "features.export",
        "features.verify",
        "features.repair",
        "scoring.score",
        "submission.check",
    }
    | {"localize.export", "watch.watch"}
    | {"experiment.listed", "machine.down", "machine.doctor", "rollback.rollback"}
    | {"retention.gc", "retention.backup", "retention.restore", "retention.migrate"}
)
"""These read and report; nothing of theirs is recorded, so they start no server."""


def carry_out(command: str, as_json: bool, debug: bool, **options: Any) -> NoReturn:
    """Run a function of `flows.commands` with the environment set before anything heavy is imported."""

    def action(terminal: Terminal) -> Any:
        from flows.environment import prepare  # noqa: PLC0415 - `iamsb --help` needs none of this

        orchestrator = prepare(for_flows=command not in WITHOUT_FLOWS, debug=debug)
        module, _, function = command.partition(".")
        commands = importlib.import_module(f"flows.commands.{module}")
        return getattr(commands, function)(terminal, orchestrator=orchestrator, **options)

    raise typer.Exit(Terminal(json_wanted=as_json, debug=debug).run(action))
