"""The field's evaluation protocols, by name. A number without its protocol means nothing.

Sources: `lavdf` is `metrics.py` of the LAV-DF repository; `av-deepfake1m` is `src/loc_1d.rs` of the AV-Deepfake1M
repository, published as the wheel `avdeepfake1m` (the two have the same semantics); `activitynet` is the ActivityNet
evaluation code that UMMAFormer, ActionFormer and OpenTAD use; `ddl-av` is the formula on the site of the DDL
challenge (IJCAI 2025, track 2), whose script was never released: its matching and area here are ours.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Literal

from iamsb_core.metrics.tiou import Overlap

Area = Literal["official", "full"]
Matching = Literal["first", "best"]
ChallengeScore = Literal["1m-deepfakes", "ddl-av"]

AR_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that makes one evaluator's number differ from another's."""

    name: str
    file_hz: float
    """times in its prediction files are in units of 1 / file_hz seconds (LAV-DF writes frames)"""
    overlap: Overlap
    strict: bool
    """a hit needs tiou > threshold; otherwise tiou >= threshold"""
    matching: Matching
    """`first`: a truth takes the first free proposal that hits it; `best`: a proposal takes the best free truth"""
    area: Area
    """`official` leaves out the curve from recall 0 to its first point: perfect predictions get 1 - 1 / truths"""
    float32: bool
    """tiou and thresholds in float32, as the official code has them"""
    average_counts: bool
    """AR@N gives every clip the same share of its list so that N is the mean count; otherwise the first N of each"""
    forged_only: bool
    """proposals in genuine clips are not counted"""
    score: ChallengeScore | None
    ap_tious: tuple[float, ...] = (0.5, 0.75, 0.9, 0.95)
    ar_tious: tuple[float, ...] = AR_TIOUS
    ar_counts: tuple[int, ...] = (100, 50, 30, 20, 10, 5)


LAVDF = Protocol(
    name="lavdf",
    file_hz=25.0,
    overlap="hull",
    strict=True,
    matching="first",
    area="official",
    float32=True,
    average_counts=False,
    forged_only=False,
    score=None,
)
AV_DEEPFAKE1M = replace(LAVDF, name="av-deepfake1m", file_hz=1.0, score="1m-deepfakes")
ACTIVITYNET = Protocol(
    name="activitynet",
    file_hz=1.0,
    overlap="union",
    strict=False,
    matching="best",
    area="full",
    float32=False,
    average_counts=True,
    forged_only=False,
    score=None,
)
DDL_AV = Protocol(
    name="ddl-av",
    file_hz=1.0,
    overlap="union",
    strict=False,
    matching="first",
    area="full",
    float32=False,
    average_counts=False,
    forged_only=True,
    score="ddl-av",
)

PROTOCOLS = {protocol.name: protocol for protocol in (LAVDF, AV_DEEPFAKE1M, ACTIVITYNET, DDL_AV)}


def protocol(name: str | Protocol) -> Protocol:
    """The protocol of that name. Raises ValueError, with the nearest name, where there is none."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name.lower(), PROTOCOLS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}{hint}")
    return PROTOCOLS[name]
