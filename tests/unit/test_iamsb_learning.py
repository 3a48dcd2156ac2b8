"""IaMSB learns: one batch by heart, boundaries to within 2 % of the union."""

from __future__ import annotations

import torch
from batches import forged_batch
from learning import learn, lowest_tiou

from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.manifest import Modality
from iamsb_core.systems.iamsb import Iamsb, compact

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=24, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=16, hop_seconds=0.04),
)
SECONDS = (2.0, 2.6, 3.0, 2.4)
TRUTH = {
    Modality.AUDIO: ([(0.62, 1.17)], [], [(0.35, 0.81), (1.9, 2.77)], []),
    Modality.VISUAL: ([], [(0.81, 2.05)], [(0.35, 0.81)], []),
}


def test_one_batch_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    batch = forged_batch(STREAMS, SECONDS, TRUTH)
    system = Iamsb(compact(), STREAMS)
    system.fit_normalisation([batch])
    learn(system, batch, num_steps=150, learning_rate=2e-3)
    with torch.no_grad():
        clips = system.eval().propose(system(batch), batch)
    assert lowest_tiou(clips, batch) > 0.98
    assert [clip.clip_score > 0.5 for clip in clips] == [True, True, True, False]
