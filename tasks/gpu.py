"""The GPUs of this machine: by which name their slots are held on a Prefect server, and how busy they are."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import socket
import subprocess

log = logging.getLogger(__name__)

_QUERY_SECONDS = 5.0
_NUM_ID_CHARACTERS = 8


def gpu_limit(device: str, *, urgent: bool = False) -> str:
    """The concurrency limit of a CUDA device, such as `gpu-1a2b3c4d`, or its second one for urgent work.

    It is named by the GPU's own id, which no other GPU has: on many machines each GPU is held for itself, and two
    containers that share one take turns.
    """
    import torch  # noqa: PLC0415 - a second to import

    index = torch.device(device).index
    number = torch.cuda.current_device() if index is None else index
    identifier = getattr(torch.cuda.get_device_properties(number), "uuid", None)
    name = str(identifier)[:_NUM_ID_CHARACTERS] if identifier is not None else f"{socket.gethostname()}-{number}"
    return f"gpu-{name}-urgent" if urgent else f"gpu-{name}"


@functools.cache
def make_limit(name: str) -> None:
    """A concurrency limit of one slot, where the server has none of that name; one that was raised stays so."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - a second to import
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate  # noqa: PLC0415
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            except ObjectAlreadyExists:  # another process was quicker
                return


def gpu_percent() -> float | None:
    """How busy the visible GPUs are, on average, 0 to 100, by nvidia-smi; None where that is not to be known."""
    program = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if program is None or visible == "":
        return None
    command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    command += [] if visible is None else ["-i", visible]
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program
            command, capture_output=True, text=True, check=False, timeout=_QUERY_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return mean_use(done.stdout) if done.returncode == 0 else None


def mean_use(lines: str) -> float | None:
    """The mean of one number a line; `[N/A]`, as of a part of a GPU, is left out. None where none is left."""
    found = [float(line) for line in lines.splitlines() if line.strip().replace(".", "", 1).isdigit()]
    return sum(found) / len(found) if found else None
