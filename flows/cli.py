"""The `iamsb` command: options and nothing else; `flows.commands` carries them out.

Exit codes: 0 done, 1 failed, 2 wrong usage. State lives under IAMSB_HOME (default `.iamsb` in the current folder).
"""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from flows.terminal import DONE, Terminal, end_on_sigterm

app = typer.Typer(
    help="Says when, and in which stream, an audio-visual video was forged. State lives under IAMSB_HOME [.iamsb].",
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
Name = Annotated[str, typer.Argument(help="Layout: lavdf, demo or generic.")]
Root = Annotated[Path, typer.Argument(help="The dataset's folder, or a generic manifest file.")]
Encoders = Annotated[
    str,
    typer.Option(help="`handcrafted`, `wavlm-clip`, or a pair such as `wavlm:ID_OR_FOLDER+clip:ID_OR_FOLDER`."),
]
Device = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Shards at a time [default: 2].")]
Dask = Annotated[str | None, typer.Option(help="Address of a Dask scheduler that spreads the shards.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Videos in a shard at most.")]
BadShare = Annotated[float, typer.Option(min=0.0, max=1.0, help="Fail when more than this share is unusable.")]
Model = Annotated[str, typer.Option(help="URI that `train` printed, a model folder, or the champion.")]

CHAMPION = "models:/iamsb@champion"
WITHOUT_FLOWS = frozenset(
    {"datasets.check", "features.export", "features.verify", "features.repair", "models.score"}
    | {"machine.down", "machine.doctor"}
)
"""These read and report; nothing of theirs is recorded, so they start no server."""


def _carry_out(command: str, as_json: bool, debug: bool, **options: Any) -> NoReturn:
    """Run a function of `flows.commands` with the environment set before anything heavy is imported."""

    def action(terminal: Terminal) -> Any:
        from flows.environment import prepare  # noqa: PLC0415 - `iamsb --help` needs none of this

        orchestrator = prepare(for_flows=command not in WITHOUT_FLOWS, debug=debug)
        module, _, function = command.partition(".")
        commands = importlib.import_module(f"flows.commands.{module}")
        return getattr(commands, function)(terminal, orchestrator=orchestrator, **options)

    raise typer.Exit(Terminal(json_wanted=as_json, debug=debug).run(action))


@app.command()
def demo(
    media: Annotated[Path | None, typer.Option(help="Folder of real clips; without it, clips are drawn.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small dataset and a short training.")] = False,
    seed: Annotated[int, typer.Option(help="Of the drawn data and the training.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forge a dataset, extract, train, evaluate on people never seen, and report on one unseen clip."""
    _carry_out("demo.demo", as_json, debug, media=media, quick=quick, seed=seed)


@app.command()
def forge(
    media: Annotated[Path, typer.Argument(help="Folder of real clips.")],
    out: Annotated[Path, typer.Argument(help="New folder for the dataset, in LAV-DF's layout.")],
    quick: Annotated[bool, typer.Option("--quick", help="A small dataset.")] = False,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a dataset of partial forgeries with exact truth from real clips."""
    _carry_out("datasets.forge", as_json, debug, media=media, out=out, quick=quick, seed=seed)


@dataset_app.command("check")
def dataset_check(name: Name, root: Root, as_json: Json = False, debug: Debug = False) -> None:
    """Say what is wrong with a dataset before hours are spent on it; exit code 1 where something is."""
    _carry_out("datasets.check", as_json, debug, name=name, root=root)


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
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decode and encode every video that is not in the feature store yet."""
    _carry_out(
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
    )


@app.command()
def train(
    name: Name,
    root: Root,
    system: Annotated[str, typer.Option(help="What to train.")] = "iamsb",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training split [default: 40 on a GPU, 26 on a CPU].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice [default: 0].")] = None,
    encoders: Encoders = "handcrafted",
    device: Device = "auto",
    config: Annotated[Path | None, typer.Option(help="JSON file with the whole training configuration.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a system on extracted features; a run that was stopped goes on at its last checkpoint."""
    _carry_out(
        "models.train",
        as_json,
        debug,
        name=name,
        root=root,
        system=system,
        epochs=epochs,
        seed=seed,
        encoders=encoders,
        device=device,
        config=config,
    )


@app.command()
def evaluate(
    name: Name,
    root: Root,
    model: Model = CHAMPION,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    protocol: Annotated[str, typer.Option(help="lavdf, av-deepfake1m, activitynet or ddl-av.")] = "lavdf",
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """AP, AR and AUC of a model, overall and for each stream, beside two baselines."""
    _carry_out(
        "models.evaluate",
        as_json,
        debug,
        name=name,
        root=root,
        model=model,
        split=split,
        protocol=protocol,
        device=device,
    )


@app.command()
def score(
    labels: Annotated[Path, typer.Argument(help="The benchmark's metadata file.")],
    predictions: Annotated[Path, typer.Argument(help="Predictions of this or any other system.")],
    protocol: Annotated[str, typer.Option(help="lavdf, av-deepfake1m, activitynet or ddl-av.")],
    split: Annotated[str | None, typer.Option(help="Only this split of the labels.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score predictions, from this project or any other, against labels."""
    _carry_out("models.score", as_json, debug, labels=labels, predictions=predictions, protocol=protocol, split=split)


@app.command()
def localize(
    videos: Annotated[list[Path], typer.Argument(help="Video files.", metavar="VIDEO...")],
    model: Model = CHAMPION,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports [default: IAMSB_HOME/reports].")] = None,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say when, and in which stream, videos were forged: report.json, report.html and subtitles for each."""
    _carry_out("models.localize", as_json, debug, videos=videos, model=model, out=out, device=device)


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
    _carry_out("features.export", as_json, debug, name=name, root=root, out=out, encoders=encoders)


@features_app.command("verify")
def features_verify(as_json: Json = False, debug: Debug = False) -> None:
    """Read every stored byte and say which packs are damaged; exit code 1 where any is."""
    _carry_out("features.verify", as_json, debug)


@features_app.command("repair")
def features_repair(as_json: Json = False, debug: Debug = False) -> None:
    """Drop damaged packs, so that the next extraction makes them anew."""
    _carry_out("features.repair", as_json, debug)


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Prefect's [default: 4200 or the next free].")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="MLflow's [default: 5000 or the next free].")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Start a Prefect server, a process worker and the MLflow page on this machine, and register the deployments."""
    _carry_out("machine.up", as_json, debug, port=port, mlflow_port=mlflow_port)


@app.command()
def down(as_json: Json = False, debug: Debug = False) -> None:
    """Stop what `iamsb up` started."""
    _carry_out("machine.down", as_json, debug)


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what is installed, which device, weights and services there are, and how to mend what is missing."""
    _carry_out("machine.doctor", as_json, debug)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        end_on_sigterm()
    try:
        app(given, prog_name="iamsb")
    except SystemExit as end:
        return int(end.code or DONE)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
