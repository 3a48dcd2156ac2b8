"""The challenges' own scores out of AP, AR and AUC."""

from __future__ import annotations

from collections.abc import Mapping

from iamsb_core.metrics.protocols import ChallengeScore

_DDL_AP = {"0.5": 1, "0.75": 2, "0.9": 2, "0.95": 3}
_DDL_AR = {"30": 1, "20": 2, "10": 2, "5": 3}
_DEEPFAKES_1M_AP = {"0.5": 1, "0.75": 1, "0.9": 1, "0.95": 1}
_DEEPFAKES_1M_AR = {"50": 1, "30": 1, "20": 1, "10": 1, "5": 1}


def challenge_score(
    ap: Mapping[str, float | None], ar: Mapping[str, float | None], name: ChallengeScore | None
) -> float | None:
    """The score of a challenge; None where there is none, or where one of its terms is absent."""
    if name is None:
        return None
    return (ddl_score if name == "ddl-av" else deepfakes_1m_score)(ap, ar)


def deepfakes_1m_score(ap: Mapping[str, float | None], ar: Mapping[str, float | None]) -> float | None:
    """1M-Deepfakes 2024 and 2025: half the mean AP (0.5, 0.75, 0.9, 0.95) and half the mean AR (50, 30, 20, 10, 5)."""
    ap_mean, ar_mean = _weighted_mean(ap, _DEEPFAKES_1M_AP), _weighted_mean(ar, _DEEPFAKES_1M_AR)
    return None if ap_mean is None or ar_mean is None else (ap_mean + ar_mean) / 2


def ddl_score(ap: Mapping[str, float | None], ar: Mapping[str, float | None]) -> float | None:
    """DDL 2025, track 2: (AP@.5 + 2 AP@.75 + 2 AP@.9 + 3 AP@.95 + AR@30 + 2 AR@20 + 2 AR@10 + 3 AR@5) / 16."""
    ap_mean, ar_mean = _weighted_mean(ap, _DDL_AP), _weighted_mean(ar, _DDL_AR)
    return None if ap_mean is None or ar_mean is None else (ap_mean + ar_mean) / 2


def ddl_final(auc: float | None, score: float | None) -> float | None:
    """DDL 2025, track 2: (AUC + Score) / 2; None where either is unknown."""
    return None if auc is None or score is None else (auc + score) / 2


def _weighted_mean(values: Mapping[str, float | None], weights: Mapping[str, int]) -> float | None:
    """None where one of the values is absent."""
    terms = [(values.get(key), weight) for key, weight in weights.items()]
    known = [value * weight for value, weight in terms if value is not None]
    return sum(known) / sum(weights.values()) if len(known) == len(weights) else None
