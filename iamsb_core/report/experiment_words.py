"""What an experiment found, in sentences that follow from its numbers alone."""

from __future__ import annotations

from statistics import fmean

from iamsb_core.metrics.bootstrap import Difference, Interval
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.experiment import ExperimentReport, Measured, Situation, VariantReport

SIGNIFICANT = 0.05
_FEW = 3
"""situations that are each told in a sentence, with the fall of every metric; more are told in one for each variant"""
_CONFLICT = 0.0
"""a cosine below it: the two gradients pull apart"""


def finding(report: ExperimentReport) -> tuple[str, ...]:
    """The answer: who is better, what falls, what was seen in training, what it costs, and what this cannot show."""
    if not report.measured:
        return ("Nothing could be measured; see what went wrong.",)
    said: list[str] = []
    metric = report.about.metrics[0]
    has_many = len(report.situations) > _FEW
    ranked = report.situations[:1] if has_many or len(report.variants) == 1 else report.situations
    said += [_ranking(report, situation, metric) for situation in ranked]
    said += [_tally(report, one.name, metric) for one in report.variants[1:] if has_many]
    said += [_ranking(report, report.situations[0], other) for other in report.about.metrics[1:]]
    if len(report.situations) > 1 and report.about.tells_falls:
        said += _all_falls(report, has_many)
    said += _traces(report) + _costs(report)
    return (*(text for text in said if text), _limits(report) + _luck_of_seeds(report, metric))


def _ranking(report: ExperimentReport, situation: Situation, metric: str) -> str:
    """Everyone against the reference in one situation."""
    everyone = [one for one in report.inside(situation.name) if metric in one.intervals]
    if not everyone:
        return ""
    where = f" ({situation.name})" if len(report.situations) > 1 else ""
    first, *others = everyone
    start = f"{metric_words(metric)}{where}: {first.variant} {_percent(first.intervals[metric])}"
    if first.variant != report.variants[0].name or not others:
        return start + "."
    return f"{start}; against it {'; '.join(_versus(one, metric) for one in others)}."


def _versus(one: Measured, metric: str) -> str:
    found = one.against.get(metric)
    if found is None:
        return f"{one.variant} {_percent(one.intervals[metric])}"
    return f"{one.variant} {_change(found)}, {_verdict(found)}"


def _verdict(found: Difference) -> str:
    if found.p_value >= SIGNIFICANT:
        return f"not told apart (p {found.p_value:.2f})"
    return f"{'better' if found.estimate > 0 else 'worse'} (p {found.p_value:.3f})"


def _tally(report: ExperimentReport, variant: str, metric: str) -> str:
    """Where one is told apart from the reference, of many situations besides the first."""
    found = {}
    for situation in report.situations[1:]:
        one = report.of(variant, situation.name)
        if one is not None and metric in one.against:
            found[situation.name] = one.against[metric]
    if not found:
        return ""
    apart = {name: one for name, one in found.items() if one.p_value < SIGNIFICANT}
    better = [name for name, one in apart.items() if one.estimate > 0]
    worse = [name for name in apart if name not in better]
    parts = [f"{word} under {', '.join(names)}" for word, names in (("better", better), ("worse", worse)) if names]
    parts += [f"not told apart in {len(found) - len(apart)} of {len(found)}"] if len(apart) < len(found) else []
    return f"{metric_words(metric)} elsewhere: {variant} against {report.variants[0].name} {'; '.join(parts)}."


def _all_falls(report: ExperimentReport, has_many: bool) -> list[str]:
    """By situation, or by variant where there are many situations."""
    metric, *_ = report.about.metrics
    if not has_many:
        return [_falls(report, one, each) for each in report.about.metrics for one in report.situations[1:]]
    return [*(_falls_of(report, one.name, metric) for one in report.variants), _worst(report, metric)]


def _falls_of(report: ExperimentReport, variant: str, metric: str) -> str:
    """Where one falls from the first situation, the furthest first."""
    there = [(one.name, report.of(variant, one.name)) for one in report.situations[1:]]
    falls = {name: one.fall[metric] for name, one in there if one is not None and metric in one.fall}
    if not falls:
        return ""
    certain = sorted((name for name, fall in falls.items() if fall.low > 0), key=lambda name: -falls[name].estimate)
    what, first = f"{metric_words(metric)} of {variant}", report.situations[0].name
    if not certain:
        return f"{what} does not certainly fall from {first} to any of the {len(falls)} others."
    rest = len(falls) - len(certain)
    tail = f"; not certainly to the other {rest}" if rest else ""
    return f"{what} falls from {first} to {', '.join(f'{name} by {_points(falls[name])}' for name in certain)}{tail}."


def _falls(report: ExperimentReport, situation: Situation, metric: str) -> str:
    """How far each falls from the first situation to this one."""
    falls = [(one, one.fall[metric]) for one in report.inside(situation.name) if metric in one.fall]
    if not falls:
        return ""
    parts = [f"{one.variant} by {_points(fall)}" for one, fall in falls]
    least = min(falls, key=lambda pair: pair[1].estimate)[0].variant
    tail = f"; least: {least}" if len(falls) > 1 else ""
    return (
        f"{metric_words(metric)} falls from {report.situations[0].name} to {situation.name}: {', '.join(parts)}{tail}."
    )


def _worst(report: ExperimentReport, metric: str) -> str:
    """The situation that costs most on the average of all variants."""
    means = {}
    for situation in report.situations[1:]:
        falls = [one.fall[metric].estimate for one in report.inside(situation.name) if metric in one.fall]
        means.update({situation.name: fmean(falls)} if falls else {})
    if not means:
        return ""
    worst = max(means, key=lambda name: means[name])
    return (
        f"On average over the variants, {worst} costs most: {100 * means[worst]:.1f} points of {metric_words(metric)}."
    )


def _traces(report: ExperimentReport) -> list[str]:
    """What was recorded in training: its mean in the first and the last third, and how often a cosine was negative."""
    said = []
    for name in dict.fromkeys(name for variant in report.variants for name in variant.traces):
        parts = [_trace(variant, name) for variant in report.variants if variant.traces.get(name)]
        said.append(f"{name.replace('_', ' ')} in training: {'; '.join(parts)}.")
    return said


def _trace(variant: VariantReport, name: str) -> str:
    values = [value for _, value in sorted(variant.traces[name].items())]
    third = max(1, len(values) // 3)
    begin, end = fmean(values[:third]), fmean(values[-third:])
    text = f"{variant.name} {begin:.3f} in the first third, {end:.3f} in the last"
    if "cosine" not in name:
        return text
    return f"{text}, negative in {100 * sum(value < _CONFLICT for value in values) / len(values):.0f} % of the records"


def _costs(report: ExperimentReport) -> list[str]:
    """Time and arithmetic, where more than one length was asked for."""
    lengths = [cost.duration_seconds for cost in report.variants[0].costs]
    if len(lengths) < 2:
        return []
    said = []
    for place, length in enumerate(lengths):
        known = [(one.name, one.costs[place]) for one in report.variants if len(one.costs) > place]
        parts = [f"{name} {1000 * cost.median_seconds:.0f} ms and {cost.gflop:.2f} GFLOP" for name, cost in known]
        said.append(f"A clip of {length:g} s takes {', '.join(parts)}.")
    return said


def _limits(report: ExperimentReport) -> str:
    """What stands against reading more into it."""
    first = report.situations[0]
    clips = f"{first.num_clips} clips, {first.num_forged} of them forged ({first.name})"
    seeds = len(report.seeds)
    luck = (
        "one training each: the ranges are over clips, and another seed may move any of these numbers"
        if seeds == 1
        else f"means of {seeds} trainings each: the ranges are over clips, and the seeds' own numbers stand beside them"
    )
    return f"Measured on {clips}; {luck}."


def _luck_of_seeds(report: ExperimentReport, metric: str) -> str:
    """How far the seeds of one variant lie apart in the first situation, where there are several."""
    numbers = [one.by_seed.get(metric, ()) for one in report.inside(report.situations[0].name)]
    apart = [max(values) - min(values) for values in numbers if len(values) > 1]
    if not apart:
        return ""
    return f" Seeds of one variant lie up to {100 * max(apart):.1f} points of {metric_words(metric)} apart."


def _percent(found: Interval) -> str:
    return f"{100 * found.estimate:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _points(found: Interval) -> str:
    return f"{100 * found.estimate:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _change(found: Difference) -> str:
    return f"{100 * found.estimate:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
