"""The variants of IaMSB that the paper's ablations name: each a change of the configuration, trained or not.

Sources: the ablation table (bridges kept), and the studies of k, S_c and S_tgt. Allocation is ours: what the witness
bridge's budgets are worth against even ones, and how little clips and queries can do with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from iamsb_core.digest import plain
from iamsb_core.systems.iamsb.config import IamsbConfig, ablations

Sweep = Literal["bridges", "witnesses", "coarse-steps", "step-budget", "allocation"]
SWEEPS: tuple[Sweep, ...] = get_args(Sweep)
FULL = "full"
_ROW_MASSES = (0.5, 0.9)
_QUIET = (0.4, 0.6)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One point of one sweep."""

    sweep: Sweep
    name: str
    changes: dict[str, Any]
    """fields of the configuration that differ from the full system's; empty: it is the full system itself"""
    trained: bool
    """whether it is trained by itself, or is the full system's weights with these settings at inference"""
    point: int | None = None
    """where it stands on the sweep's axis"""


@dataclass(frozen=True, kw_only=True)
class SweepPoints:
    """Which points are measured. Raises ValueError for a sweep that there is not."""

    witnesses: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """k; a coupling with fewer columns keeps all"""
    coarse_steps: tuple[int, ...] = (1, 2, 3)
    """S_c"""
    step_budgets: tuple[int, ...] = (0, 4, 8, 12, 16)
    """S_tgt; 0 leaves the coarse segments as they are"""
    sweeps: tuple[Sweep, ...] = SWEEPS
    trained: tuple[Sweep, ...] = ("bridges", "coarse-steps")
    """sweeps whose points are trained by themselves. k, S_tgt and the allocation change no weight's shape and only how
    the trained bridges are run, so that one trained system can show them; a coarse bridge learns its step's size, and
    a bridge that is left out leaves others to learn its work. `bridges` are always trained."""

    def __post_init__(self) -> None:
        unknown = {*self.sweeps, *self.trained} - set(SWEEPS)
        if unknown:
            raise ValueError(f"no sweep {min(unknown)!r}; there are {', '.join(SWEEPS)}")
        for name in ("witnesses", "coarse_steps"):
            if min(getattr(self, name), default=1) < 1:
                raise ValueError(f"{name} are 1 or more, got {getattr(self, name)}")


def variants(config: IamsbConfig, points: SweepPoints) -> tuple[Variant, ...]:
    """The full system first, then every point of every sweep in order."""
    full = Variant(sweep="bridges", name=FULL, changes={}, trained=True)
    found = {
        "bridges": _bridges(config),
        "witnesses": _sweep("witnesses", "k", {k: {"witness": {"num_witnesses": k}} for k in points.witnesses}),
        "coarse-steps": _sweep("coarse-steps", "S_c", {n: {"coarse": {"num_steps": n}} for n in points.coarse_steps}),
        "step-budget": _sweep("step-budget", "S_tgt", {n: {"budget": {"num_steps": n}} for n in points.step_budgets}),
        "allocation": _allocation(),
    }
    chosen = [one for sweep in SWEEPS if sweep in points.sweeps for one in found[sweep]]
    return (full, *(_settled(one, config, points) for one in chosen))


def _bridges(config: IamsbConfig) -> Iterator[Variant]:
    whole = plain(config)
    for name, other in ablations(config).items():
        if name != FULL:
            yield _variant("bridges", name, {key: value for key, value in plain(other).items() if value != whole[key]})


def _allocation() -> Iterator[Variant]:
    yield _variant("allocation", "even budgets", {"budget": {"allocation": "even"}})
    for share in _ROW_MASSES:
        yield _variant("allocation", f"witnesses for {share:.0%} of a row", {"witness": {"row_mass": share}})
    for probability in _QUIET:
        yield _variant(
            "allocation", f"early stop below {probability:.0%}", {"budget": {"quiet_probability": probability}}
        )


def _sweep(sweep: Sweep, symbol: str, changes: Mapping[int, dict[str, Any]]) -> Iterator[Variant]:
    for point, change in changes.items():
        yield Variant(sweep=sweep, name=f"{symbol} = {point}", changes=change, trained=False, point=point)


def _variant(sweep: Sweep, name: str, changes: dict[str, Any]) -> Variant:
    return Variant(sweep=sweep, name=name, changes=changes, trained=False)


def _settled(one: Variant, config: IamsbConfig, points: SweepPoints) -> Variant:
    """Trained or not, and without changes where the full system has these settings."""
    same = _holds(plain(config), one.changes)
    trained = same or one.sweep == "bridges" or one.sweep in points.trained
    return Variant(
        sweep=one.sweep, name=one.name, changes={} if same else one.changes, trained=trained, point=one.point
    )


def _holds(whole: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return all(
        _holds(whole[key], value) if isinstance(value, Mapping) else whole[key] == value
        for key, value in changes.items()
    )
