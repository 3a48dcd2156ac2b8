"""What a perturbation is called, and how it enters the identity of features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import encoder_specs, load_encoder, resolve_spec
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import FrameView
from iamsb_core.media.perturbations.spec import KIND_NAMES, KINDS, LEVELS, PerturbationSpec, read_perturbations
from storage.pack import encoder_spec

AUDIO = EncoderSpec(name="handcrafted-audio", version=1)
VISUAL = EncoderSpec(name="handcrafted-video", view=FrameView(), version=2)
JPEG, AAC = read_perturbations(["jpeg:3", "aac:1:7"])


def test_a_text_names_a_kind_a_level_and_a_seed():
    assert PerturbationSpec(kind="jpeg", level=3) == JPEG
    assert PerturbationSpec(kind="aac", level=1, seed=7) == AAC
    assert (JPEG.text, AAC.text) == ("jpeg:3", "aac:1:7")
    assert (JPEG.modality, AAC.modality) == (Modality.VISUAL, Modality.AUDIO)
    assert (JPEG.strength, AAC.strength) == (30, 48)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["jpg:3"], "did you mean 'jpeg'"),
        (["jpeg"], "write KIND:LEVEL"),
        (["jpeg:0"], "levels 1 to 5, got 0; leave one out for the clean clip"),
        (["jpeg:6"], "levels 1 to 5"),
        (["jpeg:-1"], "names no perturbation"),
        (["jpeg:1", "jpeg:2"], "'jpeg' is there twice"),
    ],
)
def test_a_wrong_text_says_what_is_right(texts: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        read_perturbations(texts)


def test_features_of_clean_clips_keep_the_identity_they_had_before_there_were_perturbations():
    assert AUDIO.identity == "b09ccb34da5d21e1664f122fbc965bd088dfa6b31d17dd58fa06cf869844ed40"
    assert VISUAL.identity == "1f75065fd1a1d65c08d5dcb79938863ba7ae4684698aa03848920fd8389ac921"
    assert AUDIO.perturbed(()) == AUDIO


def test_a_perturbation_gives_the_features_of_its_own_stream_another_identity():
    assert VISUAL.perturbed((JPEG, AAC)) == replace(VISUAL, perturbations=(JPEG,))
    assert AUDIO.perturbed((JPEG, AAC)) == replace(AUDIO, perturbations=(AAC,))
    assert AUDIO.perturbed((JPEG,)).identity == AUDIO.identity
    everything = [
        VISUAL.perturbed((PerturbationSpec(kind=kind, level=level, seed=seed),)).identity
        for kind in KIND_NAMES
        for level in LEVELS
        for seed in (0, 1)
        if KINDS[kind].modality is Modality.VISUAL
    ]
    assert len({VISUAL.identity, *everything}) == 1 + 7 * 5 * 2
    assert VISUAL.perturbed((replace(JPEG, version=99),)).identity not in everything
    blur = PerturbationSpec(kind="blur", level=1)
    assert VISUAL.perturbed((JPEG, blur)).identity != VISUAL.perturbed((blur, JPEG)).identity, "the order counts"


def test_a_spec_comes_back_from_a_packs_metadata():
    for spec in (AUDIO, VISUAL, VISUAL.perturbed((JPEG,))):
        assert encoder_spec(plain(spec)) == spec
    before = {name: value for name, value in plain(VISUAL).items() if name != "perturbations"}
    assert encoder_spec(before) == VISUAL, "packs from before there were perturbations are read"


def test_an_encoder_is_loaded_for_clean_clips_only():
    audio, _ = encoder_specs("handcrafted")
    noisy = resolve_spec(audio.perturbed(read_perturbations(["sound-noise:1"])))
    assert noisy.perturbations
    with pytest.raises(ValueError, match="perturb the clips"):
        load_encoder(noisy)
    assert load_encoder(noisy.perturbed(())).spec == resolve_spec(audio)


def test_a_draw_depends_on_the_media_the_seed_and_the_place_and_not_on_the_level():
    def draw(spec: PerturbationSpec, media: str = "a", place: int = 0) -> float:
        return float(spec.generator(media, place).random())

    noise = PerturbationSpec(kind="pixel-noise", level=1)
    assert draw(noise) == draw(noise) == draw(replace(noise, level=5))
    others = [draw(replace(noise, seed=1)), draw(noise, "b"), draw(noise, place=1), draw(replace(noise, kind="blocks"))]
    assert len({draw(noise), *others}) == 5
    assert np.isfinite(others).all()
