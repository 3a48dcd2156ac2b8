"""What the texts of options mean, and what every study's command ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from flows.terminal import Terminal, UsageError
from iamsb_core.manifest import SPLITS, Split
from iamsb_core.metrics.protocols import protocol as named_protocol
from storage.home import Home


class Recorded(Protocol):
    """What a study leaves: a run in MLflow, and a page."""

    @property
    def run_id(self) -> str: ...

    @property
    def html(self) -> Path: ...


def split_of(text: str) -> Split:
    """Raises UsageError for one that there is not."""
    if text not in SPLITS:
        raise UsageError(f"no split {text!r}; there are {', '.join(SPLITS)}")
    return cast("Split", text)


def words_of(text: str) -> tuple[str, ...]:
    """Those between the commas of `iamsb, macb-df`; none of an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers_of(text: str, what: str = "seeds", example: str = "0,1,2") -> tuple[int, ...]:
    """Whole numbers from an option's text, such as `0,1,2`. Raises UsageError, with the example, for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{what} are whole numbers with commas between, such as {example}, got {text!r}") from None


def terms_of(*, seeds: str, split: str, protocol: str, **others: Any) -> dict[str, Any]:
    """What a study's trainings share, as `flows.bench.Terms` takes it. Raises ValueError for what there is not."""
    named_protocol(protocol)
    return {**others, "seeds": numbers_of(seeds), "split": split_of(split), "protocol": protocol}


def absolute(path: Path | None) -> Path | None:
    """Where a path of the command line is, for a flow that may run elsewhere; None stays None."""
    return None if path is None else path.absolute()


def tell_record(terminal: Terminal, done: Recorded, page: str) -> dict[str, Any]:
    """Say where the page and the record are; the same for the JSON document. page: what it is called."""
    width = max(len(page), len("MLflow run")) + 1
    terminal.say(f"{page + ':':{width}} {done.html}")
    terminal.say(f"{'MLflow run:':{width}} {done.run_id}")
    return {"run_id": done.run_id, "html": str(done.html), "mlflow": Home.current().tracking_uri()}
