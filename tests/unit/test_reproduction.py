"""The reproduction's measurements by hand, and its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.report.reproduction import (
    Reproduction,
    VariantRuns,
    kind_of,
    measure,
    score_histogram,
    step_shares,
)
from iamsb_core.report.reproduction_page import order_told, render_reproduction
from iamsb_core.systems.iamsb import compact
from iamsb_core.systems.iamsb.variants import SweepPoints, Variant, variants

NONE = np.zeros((0, 2))
FORGED = np.array([[1.0, 2.0]])
LABELS = Labels(
    (
        ClipTruth("sound", FORGED, audio=FORGED, visual=NONE, duration_seconds=4.0),
        ClipTruth("picture", FORGED, audio=NONE, visual=FORGED, duration_seconds=4.0),
        ClipTruth("both", FORGED, audio=FORGED, visual=FORGED, duration_seconds=4.0),
        ClipTruth("real", NONE, audio=NONE, visual=NONE, duration_seconds=4.0),
    )
)
KINDS = {clip.video_id: kind_of(clip) for clip in LABELS.clips}


def found(steps: Mapping[str, tuple[int, int]], hit: float = 1.0) -> dict[str, ClipProposals]:
    """Each clip with one proposal from `hit` on, and with steps for sound and picture."""
    return {
        clip.video_id: ClipProposals(
            clip.video_id,
            4.0,
            np.zeros((0, 3), dtype=np.float32),
            np.zeros((0, 3), dtype=np.float32),
            np.array([[hit, 2.0, 0.2 if clip.video_id == "real" else 0.9]], dtype=np.float32),
            0.5,
            {
                "step_budget": dict(zip(("audio", "visual"), steps[clip.video_id], strict=True)),
                "directional_scores": {"audio": float(steps[clip.video_id][0]), "visual": 2.0},
            },
        )
        for clip in LABELS.clips
    }


STEPS = {"sound": (6, 2), "picture": (2, 6), "both": (4, 4), "real": (6, 2)}


def test_kinds_of_clips() -> None:
    assert KINDS == {"sound": "audio", "picture": "visual", "both": "both", "real": "genuine"}
    with pytest.raises(ValueError, match="do not say which stream"):
        kind_of(replace(LABELS.clips[0], audio=None))


#  one-stream forgeries: 6 of 8 steps to the forged sound, 6 of 8 to the forged picture; then 2 of 8 and 4 of 8
def test_shares_of_steps_by_hand() -> None:
    shares = step_shares([found(STEPS), found({**STEPS, "sound": (2, 6), "picture": (4, 4)})], KINDS)
    assert shares is not None
    assert (shares.num_clips, shares.num_mostly_forged) == (4, 2)
    assert shares.forged_share == pytest.approx((0.75 + 0.75 + 0.25 + 0.5) / 4)
    assert step_shares([found(dict.fromkeys(STEPS, (0, 0)))], KINDS) is None


def test_directional_scores_are_counted_once_each() -> None:
    histogram = score_histogram([found(STEPS)], KINDS)
    assert histogram is not None
    assert {kind: sum(row) for kind, row in histogram.counts.items()} == dict.fromkeys(KINDS.values(), 1)
    assert histogram.means == {"audio": 4.0, "visual": 0.0, "both": 2.0, "genuine": 4.0}
    assert histogram.edges[0] == -histogram.edges[-1] == -4.0


def runs(variant: Variant, predictions: dict[str, ClipProposals]) -> VariantRuns:
    return VariantRuns(
        variant=variant,
        seeds=(0,),
        models=("models:/iamsb/1",),
        training_runs=("t",),
        evaluation_runs=("e",),
        predictions=(predictions,),
    )


@pytest.fixture(scope="module")
def study() -> Reproduction:
    plan = variants(compact(), SweepPoints(witnesses=(8, 16), step_budgets=(0, 8)))
    places = {"full": 1.0, "no-csb": 1.1, "no-wsb": 1.2, "csb-only": 1.3}
    everyone = [runs(one, found(STEPS, places.get(one.name, 1.0))) for one in plan]
    return Reproduction(
        dataset="<lavdf>",
        split="test",
        protocol="lavdf",
        encoders="handcrafted",
        size="compact",
        epochs=1,
        device="cpu",
        seeds=(0,),
        num_clips=4,
        num_forged=3,
        results=measure(everyone, LABELS, "lavdf", num_replicates=20),
        scores=score_histogram(everyone[0].predictions, KINDS),
    )


def test_variants_are_measured_against_the_full_system(study: Reproduction) -> None:
    full, worse = study.results[0], next(one for one in study.results if one.variant.name == "no-wsb")
    assert full.metrics["ap_0.95"] == pytest.approx(1.0)
    assert worse.metrics["ap_0.95"] == 0.0  # tiou 0.8
    assert worse.metrics["ap_0.75"] == pytest.approx(1.0)
    assert full.against == {}
    assert worse.against["ap_0.95"].estimate == pytest.approx(-1.0)
    assert set(full.by_forgery) == {"audio", "visual", "audio and visual"}


def test_the_page_sets_the_papers_numbers_beside_ours(study: Reproduction) -> None:
    page = render_reproduction(study)
    for text in ("55.92", "32.51", "52.87", "no-rsb", "&lt;lavdf&gt;", "k = 8", "S_tgt = 0", "75.0 % of the steps"):
        assert text in page
    assert "http://" not in page
    assert "<script" not in page


def test_the_order_is_told_as_it_is(study: Reproduction) -> None:
    assert "does not come out" in order_told(study)  # no-csb, no-wsb and csb-only are all 0 at 0.95
    values = {"full": 0.5, "no-csb": 0.4, "no-wsb": 0.3, "csb-only": 0.3}
    ranked = tuple(
        replace(one, metrics={**one.metrics, "ap_0.95": values.get(one.variant.name, 0.1)}) for one in study.results
    )
    assert order_told(replace(study, results=ranked)).startswith("The paper's order comes out")
    assert not order_told(replace(study, results=study.results[:1]))
