"""Settings that every pyramid system has: targets, losses and decoding. Lengths in cells are of the finest level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """Which cell of which level answers for a true segment."""

    centre_radius: float = 1.5
    """how far from a segment's centre a cell may be, in strides of its level"""
    first_range_cells: float = 4.0
    """farthest boundary that the finest level answers for; twice as far on every next one, any on the last"""


@dataclass(frozen=True, kw_only=True)
class PyramidLossConfig:
    """Weights and shapes of the losses."""

    classification_weight: float = 1.0
    regression_weight: float = 1.0
    calibration_weight: float = 0.1
    """ours: the two scalars that turn a stream's best score into a probability for the clip"""
    focal_gamma: float = 2.0
    focal_alpha: float = 0.25
    label_smoothing: float = 0.0
    """share of a target that is drawn to the middle: 1 becomes 1 - half of it, 0 half of it"""
    overlap: Literal["diou", "giou"] = "diou"
    quality_target: bool = False
    """a responsible cell is trained towards the tiou of its segment; False: towards 1"""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """From cells' answers to proposals."""

    num_candidates: int = 300
    """best answers of a stream that enter suppression"""
    suppression: Literal["soft", "hard"] = "soft"
    sigma: float = 0.5
    """of soft suppression, exp(-tiou^2 / sigma)"""
    hard_tiou: float = 0.5
    """of hard suppression: larger overlaps go"""
    voting_tiou: float | None = 0.7
    """a kept segment becomes the mean of the candidates that overlap it as much, weighted by score and tiou"""
    max_proposals: int = 100
    fusion: Literal["suppressed", "union"] = "suppressed"
    """of the streams' lists: a proposal decays the other stream's, or none touches another"""
    fusion_sigma: float = 0.5
    num_evidence: int = 3
    """answers of each stream that are reported as evidence"""
