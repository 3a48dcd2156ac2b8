"""Mutants of media files: each is a function of (seed, index) and the sources, so any can be made again.

A mutant is a source that was cut, flipped, shuffled or lied in, or a bomb: a small file that promises, or holds, far
more than it is. Where fields of MP4 are named, ISO/IEC 14496-12 says where they lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bombs
import numpy as np

Change = tuple[bytes, str]
"""the bytes, and what was done to them in a few words"""
Operator = Callable[[bytes, np.random.Generator], Change]

_BOMB_SHARE = 0.12
_MORE_SHARE = 0.3
"""of the mutants, on which a second operator follows the first, and so on"""
_HEAD_BYTES = 4096
_TELLING = (0, 1, 2, 16, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""values at which programs count wrongly"""
_HOURS_SECONDS = 1000 * 3600
_SIDE_PIXELS = 60_000


@dataclass(frozen=True)
class Source:
    """A sound file that mutants are made from."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Mutant:
    """One mutant and where it comes from."""

    seed: int
    index: int
    source: str
    how: str
    data: bytes

    @property
    def name(self) -> str:
        return f"mutant-{self.seed}-{self.index}{Path(self.source).suffix}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def sources(drawn: Sequence[Path], folder: Path | None, max_bytes: int) -> list[Source]:
    """The drawn clips, and the real ones of up to max_bytes below a folder, by name."""
    real = [] if folder is None else [path for path in sorted(folder.rglob("*")) if path.suffix not in (".md", ".csv")]
    chosen = [path for path in real if path.is_file() and 64 <= path.stat().st_size <= max_bytes]
    named = {path.name: path for path in [*drawn, *chosen]}
    return [Source(name, path.read_bytes()) for name, path in sorted(named.items())]


def mutant(seed: int, index: int, given: Sequence[Source]) -> Mutant:
    """The mutant of that number."""
    rng = np.random.default_rng([seed, index])
    if rng.random() < _BOMB_SHARE:
        name = sorted(bombs.BOMBS)[int(rng.integers(len(bombs.BOMBS)))]
        data, how = bombs.BOMBS[name](rng)
        return Mutant(seed, index, name, how, data)
    source = given[int(rng.integers(len(given)))]
    data, words = source.data, []
    while not words or rng.random() < _MORE_SHARE:
        chosen = _operators(data)
        data, how = chosen[int(rng.integers(len(chosen)))](data, rng)
        words.append(how)
    return Mutant(seed, index, source.name, ", ".join(words), data)


def _operators(data: bytes) -> list[Operator]:
    general: list[Operator] = [truncate, flip, flip_head, overwrite, cut_out, repeat, swap, lie_in_head]
    if not any(True for _ in boxes(data)):
        return [*general, lie_in_head, flip_head]
    return [*general, lie_in_box, lie_in_box, lie_in_box, lie_in_box, resize_box, declare_sides, declare_hours]


# ---- any file


def truncate(data: bytes, rng: np.random.Generator) -> Change:
    """End early, or too late."""
    if rng.random() < 0.1:
        return data + rng.bytes(int(rng.integers(1, 5000))), "bytes behind the end"
    size = int(rng.integers(1, max(2, len(data))))
    return data[:size], f"cut to {size} bytes"


def flip(data: bytes, rng: np.random.Generator) -> Change:
    """Flip bits anywhere: few, or about one in a thousand bytes."""
    count = int(rng.integers(1, 9)) if rng.random() < 0.5 else 1 + len(data) // 1000
    return _flipped(data, rng.integers(0, max(1, len(data)), count), rng), f"{count} bits flipped"


def flip_head(data: bytes, rng: np.random.Generator) -> Change:
    """Flip bits where the headers are."""
    first, last = _head(data, rng)
    count = int(rng.integers(1, 20))
    return _flipped(data, rng.integers(first, last, count), rng), f"{count} bits of the header flipped"


def overwrite(data: bytes, rng: np.random.Generator) -> Change:
    """A run of zeros, ones or noise."""
    first, last = _run(data, rng)
    fill = (b"\0", b"\xff", None)[int(rng.integers(3))]
    new = rng.bytes(last - first) if fill is None else fill * (last - first)
    return data[:first] + new + data[last:], f"{last - first} bytes at {first} overwritten"


def cut_out(data: bytes, rng: np.random.Generator) -> Change:
    """A run that is missing."""
    first, last = _run(data, rng)
    return data[:first] + data[last:], f"{last - first} bytes at {first} cut out"


def repeat(data: bytes, rng: np.random.Generator) -> Change:
    """A run that comes again."""
    first, last = _run(data, rng)
    times = int(rng.integers(1, 9))
    return data[:last] + data[first:last] * times + data[last:], f"{last - first} bytes at {first} repeated"


def swap(data: bytes, rng: np.random.Generator) -> Change:
    """Two halves of a run in the wrong order."""
    first, last = _run(data, rng)
    middle = (first + last) // 2
    return data[:first] + data[middle:last] + data[first:middle] + data[last:], f"a run at {first} swapped"


def lie_in_head(data: bytes, rng: np.random.Generator) -> Change:
    """Another number of 1, 2, 4 or 8 bytes somewhere in the headers."""
    first, last = _head(data, rng)
    width = int(rng.choice([1, 2, 4, 8]))
    place = int(rng.integers(first, max(first + 1, last - width)))
    value = _telling(rng) % (1 << 8 * width)
    order = "big" if rng.random() < 0.5 else "little"
    new = value.to_bytes(width, order)  # type: ignore[arg-type]
    return _put(data, place, new), f"{width} bytes at {place} say {value:#x}"


def _flipped(data: bytes, places: np.ndarray, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in places:
        if place < len(changed):
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _run(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    first = int(rng.integers(0, max(1, len(data))))
    return first, min(len(data), first + int(2 ** rng.uniform(0, 14)))


def _head(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Where headers lie: in `moov`, or at the beginning."""
    found = [(first, last) for kind, first, last in boxes(data) if kind == b"moov" and last > first]
    if found and rng.random() < 0.8:
        return found[0]
    return 0, max(1, min(_HEAD_BYTES, len(data)))


def _telling(rng: np.random.Generator) -> int:
    return int(rng.choice(_TELLING)) if rng.random() < 0.7 else int(rng.integers(1 << 32))


def _put(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


# ---- MP4

_INSIDE = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"})
FIELDS: dict[bytes, tuple[tuple[int, int], ...]] = {
    b"mvhd": ((12, 4), (16, 4), (20, 4)),
    b"tkhd": ((12, 4), (20, 4), (76, 4), (80, 4)),
    b"mdhd": ((12, 4), (16, 4)),
    b"elst": ((4, 4), (8, 4), (12, 4), (16, 4)),
    b"stsd": ((4, 4), (8, 4), (12, 4), (32, 2), (34, 2), (40, 2), (42, 2)),
    b"stts": ((4, 4), (8, 4), (12, 4)),
    b"ctts": ((4, 4), (8, 4), (12, 4)),
    b"stsz": ((4, 4), (8, 4), (12, 4)),
    b"stsc": ((4, 4), (8, 4), (12, 4), (16, 4)),
    b"stco": ((4, 4), (8, 4)),
    b"co64": ((4, 4), (8, 8)),
    b"stss": ((4, 4), (8, 4)),
    b"trun": ((4, 4), (8, 4)),
    b"trex": ((12, 4), (16, 4)),
}
"""(offset, bytes) of numbers in the payload of a box, version 0"""


def boxes(data: bytes, first: int = 0, last: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of the payload of every box that can be followed, outer ones first."""
    last = len(data) if last is None else last
    while first + 8 <= last:
        size, kind = int.from_bytes(data[first : first + 4], "big"), data[first + 4 : first + 8]
        end = last if size == 0 else first + size
        if not kind.isalnum() or size in range(1, 8) or end > last:
            return
        yield kind, first + 8, end
        if kind in _INSIDE:
            yield from boxes(data, first + 8, end)
        first = end


def _fields(data: bytes) -> list[tuple[bytes, int, int]]:
    """(kind, place, bytes) of every number that is known."""
    return [
        (kind, first + offset, width)
        for kind, first, last in boxes(data)
        for offset, width in FIELDS.get(kind, ())
        if first + offset + width <= last
    ]


def lie_in_box(data: bytes, rng: np.random.Generator) -> Change:
    """Another number in a field of a box."""
    known = _fields(data)
    if not known:
        return lie_in_head(data, rng)
    kind, place, width = known[int(rng.integers(len(known)))]
    value = _telling(rng) % (1 << 8 * width)
    return _put(data, place, value.to_bytes(width, "big")), f"{kind.decode()} says {value:#x} at {place}"


def resize_box(data: bytes, rng: np.random.Generator) -> Change:
    """A box that says it is smaller or far larger than it is."""
    known = list(boxes(data))
    kind, first, _ = known[int(rng.integers(len(known)))]
    size = _telling(rng)
    return _put(data, first - 8, (size % (1 << 32)).to_bytes(4, "big")), f"{kind.decode()} says it has {size:#x} bytes"


def declare_sides(data: bytes, rng: np.random.Generator) -> Change:
    """Pictures of 60,000 by 60,000, in one of the two places that say so, or in both."""
    places = (int(rng.integers(3)) + 1) & 3
    for kind, first, _ in list(boxes(data)):
        if kind == b"tkhd" and places & 1:
            data = _put(data, first + 76, (_SIDE_PIXELS << 16).to_bytes(4, "big") * 2)
        if kind == b"stsd" and places & 2:
            data = _put(data, first + 40, _SIDE_PIXELS.to_bytes(2, "big") * 2)
    return data, f"{_SIDE_PIXELS} x {_SIDE_PIXELS} declared"


def declare_hours(data: bytes, rng: np.random.Generator) -> Change:
    """A thousand hours, said by the header alone or by every sample's duration."""
    truly = rng.random() < 0.5
    timescale = 1
    for kind, first, _ in list(boxes(data)):
        if kind in (b"mvhd", b"mdhd"):
            timescale = max(1, int.from_bytes(data[first + 12 : first + 16], "big"))
            data = _put(data, first + 16, min(_HOURS_SECONDS * timescale, 0xFFFFFFFF).to_bytes(4, "big"))
        if kind == b"stts" and truly:
            count = max(1, int.from_bytes(data[first + 8 : first + 12], "big"))
            delta = min(_HOURS_SECONDS * timescale // count, 0x7FFFFFFF)
            data = _put(data, first + 12, delta.to_bytes(4, "big"))
    return data, f"1000 hours declared {'by every sample' if truly else 'in the header'}"
