"""What is said of the whole clip: forged, not enough evidence, or no evidence of forgery; and what that rests on.

A clip is called forged from the score that genuine video reaches no more often than a target allows. Between there and
"no evidence" the report abstains: where the score is in between, where single stretches stand out, and where nothing
in the file is fit to be examined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from iamsb_core.metrics.calibration import Calibration
from iamsb_core.metrics.operating_point import CONFIDENCE, AlarmLimit
from iamsb_core.report.evidence import (
    Decision,
    FalseAlarmFacts,
    Lane,
    LaneName,
    MissFacts,
    Thresholds,
    Verdict,
)
from iamsb_core.report.headline import summary
from iamsb_core.report.proposals import calibrated

FALSE_ALARMS_PER_HOUR = 1.0
"""the target where a reader names none: one genuine clip called forged per hour of genuine video"""


def verdict(
    clip_score: float,
    thresholds: Thresholds,
    lanes: Mapping[LaneName, Lane | None],
    *,
    duration_seconds: float,
    calibration: Calibration | None = None,
    target_per_hour: float | None = FALSE_ALARMS_PER_HOUR,
    unfit: Sequence[str] = (),
) -> Verdict:
    """The verdict on a clip; `unfit` says, a sentence each, which examined streams can prove nothing.

    Without a calibration, or without a target, the decision threshold alone counts. Raises ValueError for a score
    outside [0, 1].
    """
    score = round(float(clip_score), 6)
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"the clip's score must lie in [0, 1], got {clip_score}")
    known = calibration is not None and target_per_hour is not None
    limit = calibration.false_alarms.limit(target_per_hour) if known else None  # type: ignore[union-attr, arg-type]
    forged_from = thresholds.decision if limit is None else max(thresholds.decision, limit.threshold)
    doubt_from = thresholds.decision
    decision = _decision(score, forged_from, doubt_from, lanes, len(unfit))
    misses = None if calibration is None else _misses(calibration, doubt_from)
    alarms = None if limit is None or calibration is None else _alarms(limit, calibration, duration_seconds)
    return Verdict(
        clip_score=score,
        calibrated_score=None if calibration is None else calibrated(calibration.clip, score),
        forged_from=forged_from,
        doubt_from=doubt_from,
        decision=decision,
        summary=summary(decision, score, forged_from, lanes),
        reasons=(*unfit, *_reasons(forged_from, alarms, misses, target_per_hour)),
        audio_score=_best_score(lanes["audio"]),
        visual_score=_best_score(lanes["visual"]),
        false_alarms=alarms,
        misses=misses,
    )


def _decision(
    score: float, forged_from: float, doubt_from: float, lanes: Mapping[LaneName, Lane | None], num_unfit: int
) -> Decision:
    examined = [lane for name, lane in lanes.items() if name != "fused" and lane is not None]
    if len(examined) <= num_unfit:
        return "not enough evidence"
    if score >= forged_from:
        return "forged"
    shown = any(lane is not None and lane.segments for lane in lanes.values())
    return "not enough evidence" if shown or score >= doubt_from else "no evidence of forgery"


def _best_score(lane: Lane | None) -> float | None:
    if lane is None:
        return None
    return lane.proposals[0][2] if lane.proposals else 0.0


def _alarms(limit: AlarmLimit, calibration: Calibration, duration_seconds: float) -> FalseAlarmFacts:
    return FalseAlarmFacts(
        target_per_hour=limit.target_per_hour,
        supported=limit.supported,
        limit_per_hour=limit.limit_per_hour,
        lowest_per_hour=limit.lowest_per_hour,
        confidence=CONFIDENCE,
        num_genuine_clips=calibration.false_alarms.num_clips,
        genuine_hours=calibration.false_alarms.hours,
        num_false_alarms=limit.num_false_alarms,
        this_file=-math.expm1(-limit.limit_per_hour * duration_seconds / 3600.0),
    )


def _misses(calibration: Calibration, doubt_from: float) -> MissFacts | None:
    if not calibration.misses.num_clips:
        return None
    return MissFacts(
        num_forged_clips=calibration.misses.num_clips,
        num_missed=calibration.misses.below(doubt_from),
        limit_share=calibration.misses.share_limit(doubt_from),
        confidence=CONFIDENCE,
    )


def _reasons(
    forged_from: float, alarms: FalseAlarmFacts | None, misses: MissFacts | None, target: float | None
) -> list[str]:
    """The thresholds in sentences."""
    said = [f"A clip is called forged from a score of {score_text(forged_from)}."]
    if alarms is not None:
        said += _alarm_sentences(alarms)
    elif target is None:
        said.append("That score was named by whoever asked for the report; its rate of false alarms is not known.")
    else:
        said.append("How often genuine video reaches it is not known: the model's card tells of no genuine dev clips.")
    if misses is not None:
        seen = f"{misses.num_missed:,} of {misses.num_forged_clips:,} forged dev clips score too low for any doubt"
        most = f"at most {_share(misses.limit_share)} of such forgeries are missed"
        said.append(f"{seen}: {most}, with {misses.confidence:.0%} confidence.")
    return said


def _alarm_sentences(alarms: FalseAlarmFacts) -> list[str]:
    clips = f"{alarms.num_genuine_clips:,} genuine dev clips ({_hours(alarms.genuine_hours)})"
    bound = f"{_per_hour(alarms.limit_per_hour)} of genuine video or fewer"
    chance = (
        f"a genuine file as long as this one is called forged with a probability of {_share(alarms.this_file)} or less"
    )
    sure = f"with {alarms.confidence:.0%} confidence"
    if alarms.supported:
        return [
            f"From {clips} that means {bound}, {sure}; the target is {_rate(alarms.target_per_hour)}.",
            f"So {chance}.",
        ]
    needed = _hours(alarms.lowest_per_hour * alarms.genuine_hours / alarms.target_per_hour)
    wanted = f"A target of {_per_hour(alarms.target_per_hour)} needs {needed} of genuine dev video"
    return [f"{wanted}; the model has {clips}, none of which scores as high: {bound}, {sure}.", f"At worst {chance}."]


def score_text(score: float) -> str:
    """Two digits; more where they would be all zeros, or nines."""
    for digits in (2, 3, 4, 5):
        text = f"{score:.{digits}f}"
        if 0.0 < float(text) < 1.0 or score in (0.0, 1.0):
            return text
    return f"{score:.6f}"


def _rate(per_hour: float) -> str:
    return f"{per_hour:,.0f}" if per_hour >= 100 else f"{per_hour:.3g}"


def _per_hour(rate: float) -> str:
    return f"{_rate(rate)} false alarm{'' if _rate(rate) == '1' else 's'} per hour"


def _share(share: float) -> str:
    return f"{share:.0%}" if 0.1 <= share <= 0.995 else f"{100 * share:.2g}%"


def _hours(hours: float) -> str:
    if hours < 1.0 / 60.0:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.1f} minutes" if hours < 1.0 else f"{hours:,.1f} hours"
