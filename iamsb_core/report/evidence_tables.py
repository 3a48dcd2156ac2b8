"""A system's evidence as tables. Its keys are the system's own, so any JSON data finds a place.

What is drawn (`trajectories`, see `bridge_drawing`) is left out. Four things are known by name: `audio` and `visual`
anywhere in a path of keys (put side by side), `witnesses` of a stream (the other stream's latents that a query leaned
on, with their share), `matches` (pairs of a sound and a picture segment, with the coupling's mass and residual), and
the `windows` of a long clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iamsb_core.report.evidence import NOUNS
from iamsb_core.report.headline import stretch

_LONGEST_LIST = 6
_MOST_WITNESSES = 3
_MOST_WINDOWS = 60
_STREAMS = ("audio", "visual")
_DRAWN = ("trajectories",)
MATCHES = "Sound and picture matched by the coupling"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a name and one value for each column; a single column without a heading is a plain list of facts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def wide(self) -> bool:
        """Whether the table needs the page's whole width."""
        return self.title in ("Encoders", "Witnesses", "Windows", MATCHES) or len(self.columns) > 2


def facts(title: str, named: Mapping[str, str]) -> Table:
    """A table of one value for each name."""
    return Table(title, ("",), tuple(named.items()))


def evidence_tables(evidence: Mapping[str, Any]) -> Iterator[Table]:
    """Values said of each stream side by side, the rest under its path of keys, witnesses and windows; some empty."""
    known = {
        name: evidence[name] for name in ("witnesses", "matches", "windows") if _is_known(name, evidence.get(name))
    }
    rest = {name: value for name, value in evidence.items() if name not in known and name not in _DRAWN}
    by_stream, single = _sorted_out(rest)
    rows = tuple((name, *(of.get(stream, "") for stream in _STREAMS)) for name, of in by_stream.items())
    yield Table("Evidence by stream", ("Sound", "Picture"), rows)
    yield facts("Evidence", single)
    yield Table(MATCHES, ("Picture", "Share of mass", "Residual"), tuple(_matches(known.get("matches", ()))))
    yield Table("Witnesses", ("Score", "Leaned on"), tuple(_witnesses(known.get("witnesses", {}))))
    yield Table("Windows", ("Score", "Sound", "Picture"), tuple(_windows(known.get("windows", ()))))


def _is_known(name: str, value: Any) -> bool:
    """Whether the entry has the shape that its own table shows; any other shape is listed like the rest."""
    if name == "witnesses":
        lists = list(value.values()) if isinstance(value, Mapping) and set(value) <= set(_STREAMS) else [None]
        entries = [entry for listed in lists for entry in (listed if isinstance(listed, list) else [None])]
        return _all_have(entries, {"segment", "score", "witnesses"})
    if name == "matches":
        return isinstance(value, list) and _all_have(value, {"audio", "visual", "mass", "residual"})
    wanted = {"start_seconds", "end_seconds", "clip_score", "evidence"}
    return isinstance(value, list) and _all_have(value, wanted)


def _all_have(entries: Sequence[Any], keys: set[str]) -> bool:
    return bool(entries) and all(isinstance(entry, Mapping) and keys <= set(entry) for entry in entries)


def _witnesses(by_stream: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for stream, entries in by_stream.items():
        other = NOUNS[_STREAMS[1 - _STREAMS.index(stream)]]
        for entry in entries:
            seen = [
                f"{other} {stretch(*each['segment'])} ({each['weight']:.0%})"
                for each in entry["witnesses"][:_MOST_WITNESSES]
            ]
            name = f"{NOUNS[stream].capitalize()} {stretch(*entry['segment'])}"
            yield name, f"{entry['score']:.2f}", ", ".join(seen)


def _matches(matches: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for match in matches:
        sound, picture = (stretch(*match[stream]["segment"]) for stream in _STREAMS)
        yield f"Sound {sound}", picture, f"{match['mass']:.1%}", f"{match['residual']:.3g}"


def _windows(windows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for window in windows[:_MOST_WINDOWS]:
        by_stream, _ = _sorted_out(window["evidence"])
        spent = [_spent(by_stream, stream) for stream in _STREAMS]
        yield stretch(window["start_seconds"], window["end_seconds"]), f"{window['clip_score']:.2f}", *spent
    if len(windows) > _MOST_WINDOWS:
        yield f"{len(windows) - _MOST_WINDOWS} more", "", "", "in report.json"


def _spent(by_stream: Mapping[str, Mapping[str, str]], stream: str) -> str:
    """What a window spent on a stream: its budgets."""
    return ", ".join(f"{name.lower()} {of[stream]}" for name, of in by_stream.items() if "budget" in name.lower())


def _sorted_out(evidence: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Name -> stream -> value for what is said of a stream; name -> value for the rest."""
    by_stream: dict[str, dict[str, str]] = {}
    rest: dict[str, str] = {}
    for path, value in _leaves(evidence, ()):
        streams = [key for key in path if key in _STREAMS]
        if len(streams) == 1:
            by_stream.setdefault(_words([key for key in path if key not in _STREAMS]), {})[streams[0]] = value
        else:
            rest[_words(path)] = value
    return by_stream, rest


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    else:
        yield path, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST or any(isinstance(item, list | dict) for item in value):
            return f"{len(value)} entries, in report.json"
        return ", ".join(_value(item) for item in value) or "none"
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _words(path: Sequence[str]) -> str:
    text = ", ".join(key.replace("_", " ") for key in path).removeprefix("num ").strip() or "score"
    return text[0].upper() + text[1:]
