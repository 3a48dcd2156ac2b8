"""Options of the commands that score files of predictions."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commandline.options import Debug, Json, Protocol, app, carry_out

LabelsFile = Annotated[Path, typer.Argument(help="The benchmark's metadata file, a manifest, or the dataset's folder.")]
PredictionsFile = Annotated[Path, typer.Argument(help="Predictions of this or any other system.")]
Split = Annotated[str | None, typer.Option(help="Only this split of the labels.")]
FileHz = Annotated[
    float | None,
    typer.Option(
        help="Unit of the times in plain files: 25 for frames, 1 for seconds; else as the protocol's own files are."
    ),
]
ClipScores = Annotated[
    str | None,
    typer.Option(
        help="Text file of `file;score` lines to go with the segments (AUC, EER, DDL-AV's Final); or `best-proposal`, "
        "for a clip to be as forged as its best proposal."
    ),
]
Against = Annotated[
    Path | None, typer.Option(help="Predictions of another system: differences by a paired bootstrap over clips.")
]
Bootstrap = Annotated[
    int | None,
    typer.Option(min=1, help="Replicates of the 95 % intervals over clips; 1000 with --against where none is given."),
]
Slices = Annotated[bool, typer.Option("--slices", help="Every slicing that the labels can tell.")]
SliceBy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SLICING",
        help="dataset, split, modality, generator, duration (of clips), forged_length (a clip's longest segment) or "
        "segment_length (of the segments to be found); can be given several times.",
    ),
]
Cells = Annotated[bool, typer.Option("--cells", help="Also the AUC of frames (cells of 0.04 s).")]
Threshold = Annotated[float | None, typer.Option(help="Accuracy of calling clips forged from this score on.")]
ThresholdFrom = Annotated[
    str | None, typer.Option(help="The same at the threshold that is best on this split, such as dev.")
]
AlsoLabels = Annotated[list[Path] | None, typer.Option(help="Further labels, scored together.")]
AlsoPredictions = Annotated[list[Path] | None, typer.Option(help="Further predictions, scored together.")]
Missing = Annotated[
    Literal["count", "leave-out", "refuse"],
    typer.Option(help="Clips without a prediction: count as having no proposals, or leave out, or refuse."),
]
Unsorted = Annotated[
    Literal["sort", "as-is", "refuse"],
    typer.Option(help="Lists not by falling score: sort, or read as the official evaluators do, or refuse."),
]
NotFinite = Annotated[Literal["leave-out", "refuse"], typer.Option(help="Proposals with NaN, null or an infinity.")]
Inverted = Annotated[
    Literal["count", "leave-out", "turn", "refuse"],
    typer.Option(help="Proposals that end before they start: count as false positives, leave out, turn, or refuse."),
]


@app.command()
def score(
    labels: LabelsFile,
    predictions: PredictionsFile,
    protocol: Protocol,
    split: Split = None,
    file_hz: FileHz = None,
    clip_scores: ClipScores = None,
    against: Against = None,
    bootstrap: Bootstrap = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    slices: Slices = False,
    slice_by: SliceBy = None,
    cells: Cells = False,
    threshold: Threshold = None,
    threshold_from: ThresholdFrom = None,
    also_labels: AlsoLabels = None,
    also_predictions: AlsoPredictions = None,
    missing: Missing = "count",
    unsorted: Unsorted = "sort",
    not_finite: NotFinite = "leave-out",
    inverted: Inverted = "count",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score predictions, from this project or any other, against labels; or compare two systems."""
    policy = {"missing": missing, "unsorted": unsorted, "not_finite": not_finite, "inverted": inverted}
    options = {
        "also_labels": tuple(also_labels or ()),
        "also_predictions": tuple(also_predictions or ()),
        "split": split,
        "file_hz": file_hz,
        "clip_scores": clip_scores,
        "against": against,
        "slices": slices,
        "slice_by": tuple(slice_by or ()),
        "cells": cells,
        "threshold": threshold,
        "threshold_from": threshold_from,
        "bootstrap": bootstrap,
        "seed": seed,
        "policy": policy,
    }
    files = {"labels": labels, "predictions": predictions}
    carry_out("scoring.score", as_json, debug, **files, protocol=protocol, options=options)
