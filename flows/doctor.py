"""`iamsb doctor`: what is installed, which device, weights and services there are, and how to mend what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from flows.environment import Orchestrator, answers, is_alive, read_services
from storage.home import Home

_GIB = 1 << 30
_LOW_DISK_GIB = 2.0
_WEIGHTS = ("microsoft/wavlm-large", "openai/clip-vit-base-patch16")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    area: Literal["installed", "device", "weights", "services", "home", "media"]
    name: str
    state: Literal["ok", "missing", "broken"]
    """missing: something optional; broken: nothing works without it"""
    detail: str
    mend: str = ""


def examine(home: Home, orchestrator: Orchestrator) -> list[Finding]:
    """Everything the doctor knows, in the order of the report."""
    return [
        *_installed(),
        *_media(),
        *_device(),
        *_weights(),
        *_services(home, orchestrator),
        _home(home.root),
    ]


def _installed() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("installed", "python", "ok", version)
    try:
        distribution = importlib.metadata.distribution("iamsb")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("installed", "iamsb", "broken", "not installed", "run `make setup`, or `pip install -e .`")
        return
    yield Finding("installed", "iamsb", "ok", distribution.version)
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Finding:
    mend = f"pip install -c constraints.txt '{requirement.name}{requirement.specifier}'"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding("installed", requirement.name, "broken", "not installed", mend)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("installed", requirement.name, "broken", f"{version}, wanted {requirement.specifier}", mend)
    return Finding("installed", requirement.name, "ok", version)


def _media() -> Iterator[Finding]:
    for module, purpose in (
        ("decord", "reads video"),
        ("av", "reads sound and odd videos"),
        ("torchaudio", "resamples"),
        ("cv2", "finds faces"),
    ):
        try:
            importlib.import_module(module)
        except Exception as error:
            mend = f"pip install --force-reinstall -c constraints.txt {module}"
            yield Finding("media", module, "broken", f"{purpose}; does not import: {error}", mend)
        else:
            yield Finding("media", module, "ok", purpose)


def _device() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("device", "cpu", "ok", f"{cores} cores")
    try:
        import torch  # noqa: PLC0415 - a second to import
    except Exception as error:
        yield Finding("device", "torch", "broken", f"does not import: {error}", "run `make setup`")
        return
    if not torch.cuda.is_available():
        mend = "nothing to do on a machine without one; else install NVIDIA's driver"
        yield Finding("device", "gpu", "missing", "none; WavLM and CLIP run slowly without one", mend)
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield Finding("device", f"cuda:{number}", "ok", f"{facts.name}, {facts.total_memory / _GIB:.0f} GiB")


def _weights() -> Iterator[Finding]:
    from iamsb_core.encoders.weights import find_weights  # noqa: PLC0415 - imports transformers

    yield Finding("weights", "handcrafted", "ok", "needs none")
    for name in _WEIGHTS:
        try:
            yield Finding("weights", name, "ok", str(find_weights(name)))
        except ValueError as error:
            yield Finding("weights", name, "missing", "not on this machine", str(error))


def _services(home: Home, orchestrator: Orchestrator) -> Iterator[Finding]:
    if orchestrator.mode == "user's server":
        url = orchestrator.api_url or ""
        mend = "start it, or `unset PREFECT_API_URL`"
        yield Finding("services", "prefect", "ok" if answers(url) else "broken", f"{url} (PREFECT_API_URL)", mend)
    services = read_services(home)
    if not services:
        yield Finding("services", "services", "missing", "none; flows run in this process", "`iamsb up` starts them")
    for name, service in services.items():
        if is_alive(service["identity"]) and answers(service["url"]):
            yield Finding("services", name, "ok", service["url"])
        else:
            yield Finding("services", name, "broken", f"does not answer at {service['url']}", "`iamsb down; iamsb up`")


def _home(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free / _GIB
    if not os.access(place, os.W_OK):
        return Finding(
            "home", "IAMSB_HOME", "broken", f"{home} cannot be written", "set IAMSB_HOME to a folder of yours"
        )
    if free < _LOW_DISK_GIB:
        return Finding("home", "IAMSB_HOME", "broken", f"{home}, {free:.1f} GiB free", "make room, or move IAMSB_HOME")
    made = "" if home.is_dir() else ", made when first needed"
    return Finding("home", "IAMSB_HOME", "ok", f"{home}, {free:.0f} GiB free{made}")
