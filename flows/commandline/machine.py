"""Options of the commands that run services and look at the machine."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from flows.commandline.options import Debug, Json, app, carry_out


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Prefect's (default: 4200 or the next free).")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="MLflow's (default: 5000 or the next free).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Start a Prefect server, workers and the MLflow page on this machine, and register pools and deployments."""
    carry_out("machine.up", as_json, debug, port=port, mlflow_port=mlflow_port)


@app.command()
def down(as_json: Json = False, debug: Debug = False) -> None:
    """Stop what `iamsb up` started."""
    carry_out("machine.down", as_json, debug)


@app.command()
def register(
    runs_as: Annotated[
        Literal["process", "docker", "kubernetes"], typer.Option(help="What the workers start each run as.")
    ] = "process",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell a Prefect server of the work pools, queues, automations and deployments; `iamsb up` does it by itself.

    They are in deployments/: pools.yaml, automations.yaml, prefect.yaml. IAMSB_ALERT_URL says where alerts go.
    """
    carry_out("machine.register", as_json, debug, runs_as=runs_as)


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what is installed, which device, weights and services there are, and how to mend what is missing."""
    carry_out("machine.doctor", as_json, debug)
