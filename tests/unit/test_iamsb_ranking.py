"""The ranking of proposals: at rest by the pool, fitted to a dev split, kept in the model, absent from older ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import noise_batch
from tiny_iamsb import PLAIN_STREAMS, SMALL, small

import iamsb_core.systems.iamsb.ranking as ranking_module
from iamsb_core.data.batch import Batch
from iamsb_core.systems.iamsb import Iamsb
from iamsb_core.systems.iamsb.proposals import claims
from iamsb_core.systems.iamsb.ranking import ProposalRanking, hit_share, ranking_features

CLIPS = noise_batch(PLAIN_STREAMS, [torch.tensor([[0.1, 0.9]])] * 6)
"""each forged in both streams over most of its length"""


@pytest.fixture
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_module, "_FEWEST_HITS", 20.0)


def with_truth(made: Iamsb, given: Batch) -> Batch:
    """The same clips, forged where five of the system's own queries say."""
    with torch.no_grad():
        outputs = made(given)
    found = [claims(stream, given, made.config.output)[0][:, :5] for stream in (outputs.audio, outputs.visual)]
    audio, visual = (
        replace(stream, truth=tuple(segments))
        for stream, segments in zip((given.audio, given.visual), found, strict=True)
    )
    return replace(given, audio=audio, visual=visual)


#  odds of 1/2 are 1, their logarithm 0; of .9 nine, 2.197; a length of 1 s has log 0, of e seconds 1
def test_features_and_targets_by_hand() -> None:
    found = ranking_features(*(torch.tensor([[x]]) for x in (0.5, 0.9, 0.1, np.e)))
    np.testing.assert_allclose(found[0, 0], [0.0, np.log(9), -np.log(9), 1.0, 1.0], atol=1e-5)
    assert hit_share(torch.tensor([0.5, 0.6, 0.8, 0.93, 0.97])).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_fit_finds_what_made_the_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20_000, 5, generator=generator) * torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    truth = torch.tensor([0.5, 1.0, -1.0, 0.0, 0.2, -1.0])
    ranking = ProposalRanking()
    assert not ranking.is_fitted
    ranking.fit(features, (features @ truth[:-1] + truth[-1]).sigmoid())
    assert ranking.is_fitted
    torch.testing.assert_close(ranking.coefficients, truth, atol=0.02, rtol=0.0)
    torch.testing.assert_close(ranking(torch.zeros(1, 1, 5)), truth[-1].sigmoid().reshape(1, 1), atol=0.01, rtol=0.0)


def test_too_few_hits_leave_it_at_rest() -> None:
    ranking = ProposalRanking()
    ranking.fit(torch.randn(1000, 5), torch.zeros(1000))
    ranking.fit(torch.randn(500, 5), torch.full((500,), 0.5))  # 250 hits
    assert not ranking.is_fitted


@pytest.mark.usefixtures("_few_are_enough")
def test_scores_are_fitted_to_clips_and_travel_with_the_weights() -> None:
    made, given = small(), CLIPS
    before = [clip.audio for clip in made.propose(made(given), given)]
    made.fit_scores([with_truth(made, given)])
    assert [network.ranking.is_fitted for network in made.stream_networks()] == [True, True]
    with torch.no_grad():
        outputs = made(given)
    after = made.propose(outputs, given)
    _, features = claims(outputs.audio, given, made.config.output)
    best = made.stream_networks()[0].ranking(features).amax(dim=1)
    np.testing.assert_allclose([clip.audio[0, 2] for clip in after], best.numpy(), rtol=1e-5)
    assert not np.array_equal(before[0], after[0].audio)
    other = small()
    other.load_state_dict(made.state_dict())
    again = other.propose(other(given), given)
    for clip, same in zip(after, again, strict=True):
        np.testing.assert_array_equal(clip.fused, same.fused)
    pooled = small(replace(SMALL, output=replace(SMALL.output, ranking="pooled")))
    pooled.load_state_dict(made.state_dict())
    np.testing.assert_array_equal(pooled.propose(pooled(given), given)[0].audio, before[0])


def test_a_model_of_before_is_at_rest() -> None:
    made = small()
    old = {name: value for name, value in made.state_dict().items() if "ranking" not in name}
    other = small()
    other.stream_networks()[0].ranking.coefficients.fill_(1.0)
    other.load_state_dict(old)
    assert not other.stream_networks()[0].ranking.is_fitted
    with pytest.raises(RuntimeError, match="neck"):
        other.load_state_dict({name: value for name, value in old.items() if "neck" not in name})


@pytest.mark.usefixtures("_few_are_enough")
def test_a_stream_that_no_clip_has_keeps_its_ranking() -> None:
    made = small()
    given = with_truth(made, CLIPS)
    silent = replace(given.audio, valid=torch.zeros_like(given.audio.valid), truth=(torch.zeros(0, 2),) * 6)
    made.fit_scores([replace(given, audio=silent)])
    assert [network.ranking.is_fitted for network in made.stream_networks()] == [False, True]
