"""The papers' open questions as experiments: each is data, and `flows/experiment.py` runs any of them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from flows.variants import Condition, Variant
from iamsb_core.media.perturbations.spec import KindName, Level
from iamsb_core.report.experiment import Question

_FPN = "FPN-Transformer (arXiv 2511.08031)"
_MACB = "MACB-DF (arXiv 2505.12966)"
_MMMS = "MMMS-BA (arXiv 2408.01532)"
_IAMSB = "IaMSB (CVPR 2026)"
_ALL = Condition(name="both streams")
_NO_SOUND = Condition(name="without sound", hidden=("audio",))
_NO_PICTURE = Condition(name="without picture", hidden=("visual",))
_LONG = {"epochs": 30, "evaluate_every_epochs": 30}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, and what is trained and scored to answer it. The first variant is the reference."""

    about: Question
    variants: tuple[Variant, ...] = (Variant(name=""),)
    systems: tuple[str, ...] = ()
    """those that a variant without a system is trained with, unless others are asked for"""
    conditions: tuple[Condition, ...] = (Condition(),)
    kinds: tuple[KindName, ...] = ()
    """of perturbation, each a condition at each level, unless others are asked for"""
    levels: tuple[Level, ...] = ()
    encoders: str = "handcrafted"
    traces: tuple[str, ...] = ()
    """what training reports at each step and the page draws"""
    cost_seconds: tuple[float, ...] = (8.6,)
    """lengths of clips whose cost is measured; the first is the mean of LAV-DF's, at which the papers state theirs"""
    crosses_datasets: bool = False
    """every dataset is trained on, and every model is scored on all"""
    needs_unseen_methods: bool = False
    """the test split must hold forgery methods that the others lack"""

    @property
    def sets_epochs(self) -> bool:
        """Whether how long to train is what it asks."""
        return any("epochs" in variant.training for variant in self.variants)

    @property
    def is_over_systems(self) -> bool:
        """Whether other systems can be asked for."""
        return any(variant.system is None for variant in self.variants)

    def variants_of(self, systems: tuple[str, ...]) -> tuple[Variant, ...]:
        """Every variant with its system; where there are several systems, with that in its name."""
        chosen = systems or self.systems
        found = []
        for system in chosen if self.is_over_systems else ("",):
            for one in self.variants:
                words = [system] if system and (len(chosen) > 1 or not one.name) else []
                name = ", ".join([*words, *([one.name] if one.name else [])])
                found.append(replace(one, name=name, system=one.system or system))
        return tuple(found)

    def conditions_of(self, kinds: tuple[KindName, ...], levels: tuple[Level, ...]) -> tuple[Condition, ...]:
        """Its own, and one for every kind at every level."""
        views = [f"{kind}:{level}" for kind in kinds or self.kinds for level in levels or self.levels]
        return (*self.conditions, *(Condition(name=view, perturb=(view,)) for view in views))


def _modality_ablation() -> Experiment:
    def variant(name: str, mode: str, *modalities: str) -> Variant:
        return Variant(name=name, system="mmms-ba", system_config={"mode": mode, "modalities": list(modalities)})

    about = Question(
        name="modality-ablation",
        question="What do attention across sequences and the lips give MMMS-BA?",
        source=f"{_MMMS}, first experiments 1 and 2: modes MMMS-BA, MMUS-SA, MS-SA; subsets V+A, L+A, V+L+A",
        metrics=("ap_0.5", "ap_0.95", "auc"),
    )
    variants = (
        variant("mmms-ba: sound, face, lips", "mmms-ba", "audio", "face", "lips"),
        variant("mmus-sa: sound, face, lips", "mmus-sa", "audio", "face", "lips"),
        variant("ms-sa: sound, face, lips", "ms-sa", "audio", "face", "lips"),
        variant("mmms-ba: sound, face", "mmms-ba", "audio", "face"),
        variant("mmms-ba: sound, lips", "mmms-ba", "audio", "lips"),
    )
    return Experiment(about=about, variants=variants, encoders="handcrafted-lips")


def _attention_window() -> Experiment:
    def variant(cells: int | None) -> Variant:
        name = "the whole clip" if cells is None else f"{cells} cells"
        return Variant(name=name, system="fpn-transformer", system_config={"window_cells": cells})

    about = Question(
        name="attention-window",
        question="How far must FPN-Transformer's attention reach, and what does it cost?",
        source=f"{_FPN}, section 3.2 and next check 2: windows 16, 32, 64, 128; the published code looks at all",
        metrics=("ap_0.95", "ap_0.5"),
    )
    cells = (32, 16, 64, 128, None)
    return Experiment(about=about, variants=tuple(map(variant, cells)), cost_seconds=(8.6, 60.0))


def _generalisation_gap() -> Experiment:
    def longer(name: str, *, masking: float | None = None, **training: object) -> Variant:
        config = {} if masking is None else {"feature_masking": masking}
        settings = {**_LONG, **training}
        return Variant(name=f"30 epochs{name}", system_config=config, training=settings)

    about = Question(
        name="generalisation-gap",
        question="Does long training learn the training set's forgery methods, and what keeps it from that?",
        source=f"{_FPN}, section 4.2, table 1 (3 epochs .7535, 95 epochs .6000) and open question 3",
        metrics=("ap_0.5", "auc"),
    )
    short = Variant(name="3 epochs", training={"epochs": 3, "evaluate_every_epochs": 3})
    variants = (
        longer(""),
        short,
        longer(", stopped by dev", evaluate_every_epochs=3),
        longer(", masking 0.4", masking=0.4),
        longer(", strong augmentation", augmentation={"offset_scale": 0.9, "gain_scale": 0.3}),
        longer(", slow average", ema_decay=0.998),
    )
    conditions = (Condition(name="methods of training (dev)", split="dev"), Condition(name="unseen methods (test)"))
    return Experiment(
        about=about,
        variants=variants,
        systems=("fpn-transformer",),
        conditions=conditions,
        needs_unseen_methods=True,
    )


def _encoder_tuning() -> Experiment:
    about = Question(
        name="encoder-tuning",
        question="Are frozen encoders better, or ones that were tuned on the forgeries of training?",
        source=f"{_FPN}, next check 3: frozen against fine-tuned WavLM and CLIP",
        metrics=("ap_0.5", "auc", "ap_0.95"),
    )
    variants = (
        Variant(name="frozen"),
        Variant(name="last block tuned", tuning={"blocks": 1}),
        Variant(name="all blocks tuned", tuning={"blocks": None}),
    )
    return Experiment(about=about, variants=variants, systems=("fpn-transformer",), encoders="wavlm-clip")


def _gradient_conflict() -> Experiment:
    about = Question(
        name="gradient-conflict",
        question="Do the unimodal and the multimodal gradient conflict, and does OM-Pareto mend it?",
        source=f"{_MACB}, first experiment 1 and next check 1",
        metrics=("ap_0.5", "auc", "ap_0.95"),
    )
    variants = (
        Variant(name="OM-Pareto", system="macb-df"),
        Variant(name="gradients added", system="macb-df", system_config={"pareto": {"enabled": False}}),
    )
    traces = ("gradient_cosine_audio", "gradient_cosine_visual")
    return Experiment(about=about, variants=variants, traces=traces)


def _contrast_temperature() -> Experiment:
    def fixed(temperature: float) -> Variant:
        config = {"temperature": {"adaptive": False, "initial": temperature}}
        return Variant(name=f"fixed at {temperature}", system="macb-df", system_config=config)

    about = Question(
        name="contrast-temperature",
        question="What does adapting the contrastive temperature give over a fixed one?",
        source=f"{_MACB}, first experiment 3 and next check 2: fixed at 0.05, 0.07 and 0.1",
        metrics=("ap_0.5", "auc", "ap_0.95"),
    )
    variants = (Variant(name="adaptive", system="macb-df"), *map(fixed, (0.05, 0.07, 0.1)))
    return Experiment(about=about, variants=variants, traces=("temperature", "contrast"))


def _fusion_weights() -> Experiment:
    about = Question(
        name="fusion-weights",
        question="Do cluster-aware fusion weights beat equal ones?",
        source=f"{_MACB}, first experiment 2 and table 2 (accuracy on DFDC 97.9 % against 97.3 %)",
        metrics=("auc", "ap_0.5", "ap_0.95"),
    )
    variants = (
        Variant(name="adaptive", system="macb-df"),
        Variant(name="equal", system="macb-df", system_config={"clusters": {"adaptive_weights": False}}),
    )
    return Experiment(about=about, variants=variants)


def _cross_dataset() -> Experiment:
    about = Question(
        name="cross-dataset",
        question="How much is lost on a dataset that was not trained on?",
        source=f"{_MMMS}, first experiment 3; {_MACB}, key results; {_FPN}, next check 1",
        metrics=("ap_0.5", "auc"),
        tells_falls=False,
    )
    return Experiment(about=about, systems=("iamsb",), crosses_datasets=True)


def _missing_in_training() -> Experiment:
    about = Question(
        name="missing-in-training",
        question="What is lost where a stream is missing in training, and where it is missing later?",
        source=f"{_MMMS}, open question 2; {_IAMSB}, unimodal scenarios",
        metrics=("ap_0.5", "auc"),
    )
    variants = (
        Variant(name="trained on both"),
        Variant(name="trained without sound", hidden=("audio",)),
        Variant(name="trained without picture", hidden=("visual",)),
        Variant(name="a third loses a stream", training={"augmentation": {"drop_stream_share": 0.33}}),
    )
    return Experiment(about=about, variants=variants, systems=("iamsb",), conditions=(_ALL, _NO_SOUND, _NO_PICTURE))


def _missing_at_test() -> Experiment:
    about = Question(
        name="missing-at-test",
        question="Which system stands the loss of a stream at test?",
        source=f"{_MMMS}, open question 2",
        metrics=("ap_0.5", "auc"),
    )
    systems = ("iamsb", "fpn-transformer", "macb-df", "mmms-ba")
    return Experiment(about=about, systems=systems, conditions=(_ALL, _NO_SOUND, _NO_PICTURE))


def _robustness_levels() -> Experiment:
    about = Question(
        name="robustness-levels",
        question="Which system holds on clips that were compressed, blurred or made noisy?",
        source="DeeperForensics-1.0 (arXiv 2001.03024) and AuViRe (WACV 2026), whose kinds `iamsb robustness` has",
        metrics=("ap_0.5", "auc"),
    )
    return Experiment(
        about=about,
        systems=("iamsb", "fpn-transformer", "macb-df"),
        conditions=(Condition(name="clean"),),
        kinds=("jpeg", "h264", "blur", "sound-noise", "aac", "reverb"),
        levels=(1, 3, 5),
    )


EXPERIMENTS: dict[str, Experiment] = {
    one.about.name: one
    for one in (
        _modality_ablation(),
        _attention_window(),
        _generalisation_gap(),
        _encoder_tuning(),
        _gradient_conflict(),
        _contrast_temperature(),
        _fusion_weights(),
        _cross_dataset(),
        _missing_in_training(),
        _missing_at_test(),
        _robustness_levels(),
    )
}
"""by name"""


def experiment_named(name: str) -> Experiment:
    """Raises ValueError, with the nearest name, where there is none."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}{hint}")
    return EXPERIMENTS[name]
