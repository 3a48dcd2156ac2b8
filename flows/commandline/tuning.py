"""Options of the command that tunes encoders."""

# ruff: noqa: PLR0917 - the parameters of a Typer command are its options
from __future__ import annotations

from typing import Annotated

import typer

from flows.commandline.options import Debug, Device, Encoders, Json, Name, Root, app, carry_out


@app.command()
def tune(
    name: Name,
    root: Root,
    encoders: Encoders = "wavlm-clip",
    blocks: Annotated[str, typer.Option(help="How many of the last transformer blocks learn, or `all`.")] = "1",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes in which the encoder learns; the best by dev is kept (default: 4)."),
    ] = None,
    head_epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes before them in which the head learns alone (default: 2).")
    ] = None,
    head_width: Annotated[
        int | None, typer.Option(min=0, help="Of the head's hidden layer; 0: linear (default).")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate of the encoder (default: 0.00002).")] = None,
    head_rate: Annotated[float | None, typer.Option(help="Peak learning rate of the head (default: 0.001).")] = None,
    train_clips: Annotated[int | None, typer.Option(min=1, help="Of the train split, at most (default: 2000).")] = None,
    dev_clips: Annotated[int | None, typer.Option(min=1, help="Of the dev split, at most (default: 500).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice (default: 0).")] = None,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tune WavLM or CLIP to tell forged cells, each by its own stream's truth; the result is an encoder like any other.

    Its weights lie in IAMSB_HOME/encoders as safetensors. The pair to give to --encoders is printed.
    """
    carry_out(
        "tuning.tune",
        as_json,
        debug,
        name=name,
        root=root,
        encoders=encoders,
        blocks=blocks,
        epochs=epochs,
        head_epochs=head_epochs,
        head_width=head_width,
        encoder_learning_rate=rate,
        head_learning_rate=head_rate,
        num_clips=train_clips,
        num_dev_clips=dev_clips,
        seed=seed,
        device=device,
    )
