"""Systems side by side: the numbers of a comparison and its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.labels import Labels
from iamsb_core.report.arena import (
    Arena,
    DatasetArena,
    Entrant,
    Failure,
    SeedResult,
    dataset_arena,
    error_row,
    render_arena,
)
from iamsb_core.report.line_chart import line_chart
from iamsb_core.systems.cost import SystemCost
from iamsb_core.timeline import Segment

COST = SystemCost(duration_seconds=8.6, num_parameters=1_234_567, gflop=1.5, median_seconds=0.02, peak_bytes=1 << 20)
NONE = np.empty((0, 3), dtype=np.float32)


def labels(num_clips: int = 24) -> Labels:
    """Two of three clips have a forged second in the sound; the kinds of forgery alternate."""
    videos = []
    for number in range(num_clips):
        forgeries = (Forgery(Segment(1.0, 2.0), Modality.AUDIO),) if number % 3 else ()
        kind = ("splice", "<b>pitch</b>")[number % 2] if number % 3 else None
        name = f"{number:03d}"
        videos.append(
            VideoRecord(
                video_id=name, path=Path(name), split="test", duration_seconds=4.0, forgeries=forgeries, generator=kind
            )
        )
    return Labels.of_manifest(Manifest("drawn", Path("/"), tuple(videos)))


def entrant(name: str, shift_seconds: float, num_seeds: int = 2) -> Entrant:
    """Finds every forgery, its ends off by the shift."""
    seeds = []
    for seed in range(num_seeds):
        found = {}
        for number in range(24):
            shift = shift_seconds * (1.0 + 0.1 * seed)
            table = np.array([[1.0 - shift, 2.0 + shift, 0.9]] if number % 3 else [[0.0, 0.5, 0.2]], dtype=np.float32)
            found[f"{number:03d}"] = ClipProposals(f"{number:03d}", 4.0, table, NONE, table, float(table[0, 2]))
        seeds.append(SeedResult(seed=seed, run_id=f"run{seed}", model=f"m{seed}", threshold=0.5, predictions=found))
    return Entrant(system=name, size="compact", seeds=tuple(seeds), cost=COST)


@pytest.fixture(scope="module")
def arena() -> DatasetArena:
    entrants = [entrant("exact", 0.01), entrant("wide", 0.2)]
    return dataset_arena(
        entrants,
        labels(),
        entrant("chance", 0.9).seeds[0].predictions,
        dataset="drawn",
        split="test",
        protocol="lavdf",
        num_replicates=50,
    )


def test_numbers_by_hand(arena: DatasetArena) -> None:
    """Off by .2 at both ends of a second: tiou 1/1.4 = .71, so AP is 1 at .5 and 0 at .75; off by .01: .98."""
    exact, wide = arena.standings
    assert [exact.intervals[f"ap_{key}"].estimate for key in ("0.5", "0.75", "0.95")] == [1.0, 1.0, 1.0]
    assert [wide.intervals[f"ap_{key}"].estimate for key in ("0.5", "0.75", "0.95")] == [1.0, 0.0, 0.0]
    assert wide.curve["0.7"] == pytest.approx(0.5)  # the second seed is off by .22: tiou .69
    assert wide.against["ap_0.75"].estimate == -1.0
    assert wide.against["ap_0.75"].p_value < 0.05
    assert wide.against["ap_0.5"].estimate == 0.0
    assert not exact.against
    assert wide.slices["generator"]["splice"] < exact.slices["generator"]["splice"]


def test_errors_are_means_over_the_seeds(arena: DatasetArena) -> None:
    row = error_row(arena.standings[1])
    assert row.missed == 0.0
    assert row.median_ms == pytest.approx(210, abs=0.1)
    assert row.alarms == 0.0


def test_the_page_says_it_all_and_escapes_what_came_from_labels(arena: DatasetArena) -> None:
    failure = Failure(dataset="drawn", system="broken", seed=1, reason="<script>alert(1)</script>")
    page = render_arena(
        Arena(protocol="lavdf", encoders="handcrafted", epochs=3, device="cpu", datasets=(arena,), failures=(failure,))
    )
    assert "1,234,567" in page
    assert "&lt;b&gt;pitch&lt;/b&gt;" in page
    assert "<script" not in page
    assert page.count('class="line s1"') == 2  # in the key and in the chart
    assert "http" not in page.replace("http-equiv", "")


def test_nobody_to_compare() -> None:
    with pytest.raises(ValueError, match="no system has a result"):
        dataset_arena([], labels(), {}, dataset="drawn", split="test", protocol="lavdf")


def test_a_line_chart_by_hand() -> None:
    """Shares up to .55: the axis reaches .6, so .3 stands half-way; x from 0 to 2 fills the box's width."""
    chart = line_chart({"a": {0.0: 0.3, 2.0: 0.55}}, x_label="x")
    left, top, right, bottom = chart.box
    assert chart.lines[0].points[0] == (left, (top + bottom) / 2)
    assert chart.lines[0].points[1][0] == right
    assert [label for _, label in chart.heights] == ["0", "12", "24", "36", "48", "60"]
    assert line_chart({}, x_label="x").lines == ()
