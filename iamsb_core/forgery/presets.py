"""Named sizes and kinds of forged datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from iamsb_core.configuration import parse
from iamsb_core.datasets.fields import suggestion
from iamsb_core.digest import plain
from iamsb_core.forgery.config import (
    ForgeConfig,
    Layout,
    Methods,
    ModalityMix,
    Placement,
    SplitMethods,
    SyntheticConfig,
)
from iamsb_core.forgery.difficulty import DifficultyName
from iamsb_core.forgery.plan import apportion

_SEEN = Methods(audio=("splice_same", "pitch_shift", "vocoder"), visual=("time_shift", "resample", "blend_own"))
_UNSEEN = Methods(audio=("splice_other", "formant_shift", "time_stretch"), visual=("reorder", "blend_other", "inpaint"))


def demo_forgery() -> ForgeConfig:
    """Enough to train on in minutes on 2 cores: 364 clips of 3 to 5 s of 44 drawn people."""
    return ForgeConfig()


def real_forgery() -> ForgeConfig:
    """For a small folder of genuine recordings: more clips, of 3 to 6 s, cut from overlapping windows."""
    return ForgeConfig(num_clips=(320, 48, 96), people_shares=(16.0, 4.0, 6.0), clip_seconds=(3.0, 6.0))


def quick_forgery() -> ForgeConfig:
    """For tests: 40 short clips of 8 drawn people."""
    return ForgeConfig(
        num_clips=(24, 6, 10),
        people_shares=(4.0, 2.0, 2.0),
        clip_seconds=(2.4, 3.2),
        segment_seconds=(0.2, 1.0),
        synthetic=SyntheticConfig(num_people=8, seconds_per_person=6.0),
    )


def benchmark_forgery() -> ForgeConfig:
    """For research runs: 1,600 clips of 3 to 6 s, two thirds of them to train on; nobody is in two splits."""
    return replace(real_forgery(), num_clips=(1100, 180, 320), synthetic=SyntheticConfig(num_people=120))


def unseen_methods_forgery() -> ForgeConfig:
    """800 clips; the test split is forged by six methods, and train and dev by the other six.

    Dev measures the methods of training on new people, test other methods on new people.
    """
    return replace(
        real_forgery(),
        num_clips=(520, 100, 180),
        split_methods=SplitMethods(train=_SEEN, dev=_SEEN, test=_UNSEEN),
    )


def asynchronous_forgery() -> ForgeConfig:
    """600 clips of 5 to 10 s forged as DDL-AV's are: each stream at times and in lengths of its own."""
    return replace(
        real_forgery(),
        num_clips=(400, 70, 130),
        clip_seconds=(5.0, 10.0),
        join_takes=True,
        mix=ModalityMix(audio=0.35, visual=0.36, both_same_time=0.0, both_different_times=0.29),
        real_share=0.33,
        placement="asynchronous",
        segment_seconds=(0.15, 4.0),
        synthetic=SyntheticConfig(num_people=44, seconds_per_person=12.0),
    )


def long_forgery() -> ForgeConfig:
    """300 clips of 10 to 30 s with several segments each, from longer sources or joined takes of one person."""
    return replace(
        real_forgery(),
        num_clips=(200, 40, 60),
        clip_seconds=(10.0, 30.0),
        join_takes=True,
        max_segments_per_minute=12.0,
        synthetic=SyntheticConfig(num_people=44, seconds_per_person=12.0, takes_per_person=3),
    )


def extended_forgery() -> ForgeConfig:
    """60 clips of 30 s to 5 min with several segments each minute: for windows, and for false alarms by the hour."""
    return replace(
        long_forgery(),
        num_clips=(36, 9, 15),
        clip_seconds=(30.0, 300.0),
        max_source_seconds=300.0,
        max_segments_per_minute=6.0,
        segment_seconds=(0.15, 3.0),
    )


PRESETS: dict[str, Callable[[], ForgeConfig]] = {
    "quick": quick_forgery,
    "demo": demo_forgery,
    "real": real_forgery,
    "benchmark": benchmark_forgery,
    "unseen-methods": unseen_methods_forgery,
    "asynchronous": asynchronous_forgery,
    "long": long_forgery,
    "extended": extended_forgery,
}


_CHOICES = {"layout": get_args(Layout), "difficulty": get_args(DifficultyName), "placement": get_args(Placement)}


def preset(name: str) -> ForgeConfig:
    """The configuration of this name. Raises ValueError for another, with the nearest."""
    return PRESETS[_known("preset", name, tuple(PRESETS))]()


def adjusted(
    config: ForgeConfig,
    *,
    num_clips: int | None = None,
    num_people: int | None = None,
    given: Mapping[str, Any] | None = None,
    **choices: str | None,
) -> ForgeConfig:
    """The configuration with what is not None changed.

    num_clips: in all; the splits keep their proportions, and each that has clips at least one. choices: layout,
    difficulty, placement. given: fields of ForgeConfig as JSON data, which come first.
    Raises ValueError for a name that is not known, with the nearest, and for what ForgeConfig refuses.
    """
    chosen = {field: _known(field, name, _CHOICES[field]) for field, name in choices.items() if name is not None}
    config = parse(ForgeConfig, {**plain(config), **(given or {}), **chosen})
    if num_clips is not None:
        config = replace(config, num_clips=_shared_out(num_clips, config.num_clips))
    return config if num_people is None else replace(config, num_people=num_people)


def _shared_out(total: int, like: tuple[int, int, int]) -> tuple[int, int, int]:
    first = [int(number > 0) for number in like]
    if total < sum(first):
        raise ValueError(f"{total} clips cannot fill {sum(first)} splits; ask for {sum(first)} or more")
    train, dev, test = (one + more for one, more in zip(first, apportion(total - sum(first), like), strict=True))
    return train, dev, test


def _known(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise ValueError(f"no {what} is called {name!r}{suggestion(name, known)}; known are {', '.join(known)}")
    return name
