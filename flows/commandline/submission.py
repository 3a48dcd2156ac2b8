"""Options of the commands that predict hidden test sets and make files for a challenge's organisers."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commandline.options import CHAMPION, Debug, Device, Json, Model, Name, Root, Split, app, carry_out

submission_app = typer.Typer(help="Make and check the files that challenges want.", no_args_is_help=True)
app.add_typer(submission_app, name="submission")

Form = Annotated[str, typer.Argument(metavar="FORMAT", help="1m-deepfakes (AV-Deepfake1M, ++) or ddl-av.")]
Files = Annotated[
    Path | None,
    typer.Option(help="The clips that must be there: test_files.txt, a metadata file, or the folder of the videos."),
]


@app.command()
def predict(
    name: Name,
    root: Root,
    model: Model = CHAMPION,
    split: Split = "test",
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Store a model's predictions of a split, which needs no labels."""
    carry_out("submission.predict", as_json, debug, name=name, root=root, model=model, split=split, device=device)


@submission_app.command("write")
def submission_write(
    form: Form,
    name: Annotated[str | None, typer.Argument(help="Layout of the dataset, such as av-deepfake1m.")] = None,
    root: Annotated[Path | None, typer.Argument(help="The dataset's folder.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Predictions that are there, of this or any other system, in seconds.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model that predicts the dataset's test split now.")] = None,
    files: Files = None,
    out: Annotated[Path, typer.Option(help="Folder for prediction.txt and prediction.json.")] = Path("submission"),
    proposals: Annotated[int, typer.Option(min=1, help="Proposals of a clip at most.")] = 100,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write prediction.txt and prediction.json for a challenge, and check them."""
    carry_out(
        "submission.write",
        as_json,
        debug,
        form=form,
        name=name,
        root=root,
        predictions=predictions,
        model=model,
        files=files,
        out=out,
        proposals=proposals,
        device=device,
    )


@submission_app.command("check")
def submission_check(
    form: Form,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE", help="prediction.txt, prediction.json.")],
    files: Files = None,
    show: Annotated[int, typer.Option(min=0, help="Faults of each kind that are shown; 0 for all.")] = 20,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the files of a submission, whoever made them: every fault with its line, and counts."""
    carry_out("submission.check", as_json, debug, form=form, paths=paths, files=files, show=show)
