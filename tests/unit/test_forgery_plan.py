"""What is planned from the seed alone: numbers, people, splits; and who is in which file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.forgery.config import ForgeConfig, ModalityMix, SyntheticConfig
from iamsb_core.forgery.identities import people_of
from iamsb_core.forgery.plan import plan_clips, split_people
from iamsb_core.forgery.presets import demo_forgery, quick_forgery
from iamsb_core.forgery.takes import SourceLength


def sources(num_people: int, num_each: int = 2) -> list[SourceLength]:
    return [
        SourceLength(f"s{person}-{i}", f"person {person}", 100 + 40 * i)
        for person in range(num_people)
        for i in range(num_each)
    ]


def test_the_numbers_by_hand() -> None:
    # 24 clips: a quarter real = 6; the other 18 as 1 : 1 : 0.5 : 0.5 = 6, 6, 3, 3
    plans = plan_clips(sources(8), quick_forgery(), seed=0)
    train = Counter(plan.kind for plan in plans if plan.split == "train")
    assert train == {"real": 6, "audio": 6, "visual": 6, "both_same_time": 3, "both_different_times": 3}
    assert Counter(plan.split for plan in plans) == {"train": 24, "dev": 6, "test": 10}
    assert [plan.file for plan in plans[23:25]] == ["train/000023.mp4", "dev/000024.mp4"]


@given(num_people=st.integers(3, 12), seed=st.integers(0, 10**6), num_each=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_nobody_is_in_two_splits_and_donors_stay_inside(num_people: int, seed: int, num_each: int) -> None:
    known = {source.key: source for source in sources(num_people, num_each)}
    plans = plan_clips(list(known.values()), quick_forgery(), seed)
    where: dict[str, set[str]] = {}
    for plan in plans:
        (piece,) = plan.pieces
        for key in (piece.source, *plan.others):
            where.setdefault(known[key].person, set()).add(plan.split)
        assert known[piece.source].person not in {known[key].person for key in plan.others}
        assert 0 <= piece.first_frame <= known[piece.source].num_frames - plan.num_frames
    assert all(len(splits) == 1 for splits in where.values())
    assert {plan.split for plan in plans} == {"train", "dev", "test"}


def test_people_are_shared_out_in_proportion() -> None:
    people = split_people([str(i) for i in range(44)], demo_forgery(), np.random.default_rng(0))
    assert Counter(people.values()) == {"train": 30, "dev": 5, "test": 9}


def test_the_same_seed_plans_the_same_and_another_does_not() -> None:
    assert plan_clips(sources(8), quick_forgery(), 3) == plan_clips(sources(8), quick_forgery(), 3)
    assert plan_clips(sources(8), quick_forgery(), 3) != plan_clips(sources(8), quick_forgery(), 4)


def test_too_few_people_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"2 people cannot fill 3 splits .*more people"):
        plan_clips(sources(2), quick_forgery(), 0)
    plans = plan_clips(sources(2), replace(quick_forgery(), num_clips=(4, 0, 4)), 0)
    assert {plan.split for plan in plans} == {"train", "test"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clips": (0, 0, 0)}, "num_clips"),
        ({"real_share": 1.5}, "real_share"),
        ({"people_shares": (1.0, 0.0, 1.0)}, "people_shares"),
        ({"segment_seconds": (0.05, 1.0)}, "3 frames at least"),
        ({"clip_seconds": (5.0, 4.0)}, "shortest clip <= longest clip"),
        ({"max_source_seconds": 2.0}, "max_source_seconds"),
        ({"audio_methods": ()}, "audio_methods must be some of"),
        ({"visual_methods": ("warp",)}, "visual_methods must be some of .*got warp"),
        ({"max_segments": 0}, "max_segments"),
        ({"visual_fade_frames": 2}, "visual_fade_frames"),
        ({"audio_fade_seconds": 0.5}, "audio_fade_seconds"),
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ForgeConfig(**changes)


def test_wrong_parts_of_a_configuration_are_refused() -> None:
    with pytest.raises(ValueError, match="positive sum"):
        ModalityMix(audio=0, visual=0, both_same_time=0, both_different_times=0)
    with pytest.raises(ValueError, match="3 people or more"):
        SyntheticConfig(num_people=2)


def test_without_a_list_every_file_is_a_person(tmp_path: Path) -> None:
    paths = (Path("a.mp4"), Path("sub/b.mp4"))
    assert people_of(paths, tmp_path) == {Path("a.mp4"): "a", Path("sub/b.mp4"): "sub/b"}


def test_a_catalog_in_the_parent_folder_is_used_and_forged_files_left_out(tmp_path: Path) -> None:
    (tmp_path / "CATALOG.csv").write_text(
        "file,authenticity,person\nreal/a.mp4,real,ann\nreal/b.mp4,real,ann\nreal/c.mp4,fake,bob\n"
    )
    people = people_of((Path("a.mp4"), Path("b.mp4"), Path("c.mp4"), Path("d.mp4")), tmp_path / "real")
    assert people == {Path("a.mp4"): "ann", Path("b.mp4"): "ann", Path("d.mp4"): "d"}


def test_lists_of_people(tmp_path: Path) -> None:
    table = tmp_path / "people.json"
    table.write_text(json.dumps({"a.mp4": "ann"}))
    assert people_of((Path("a.mp4"),), tmp_path, table) == {Path("a.mp4"): "ann"}
    table.write_text("[]")
    with pytest.raises(ValueError, match="must be a JSON object"):
        people_of((Path("a.mp4"),), tmp_path, table)
    with pytest.raises(ValueError, match="does not exist"):
        people_of((Path("a.mp4"),), tmp_path, tmp_path / "gone.csv")
    (tmp_path / "people.csv").write_text("name,who\n")
    with pytest.raises(ValueError, match="needs the columns file and person, it has name, who"):
        people_of((Path("a.mp4"),), tmp_path, tmp_path / "people.csv")
