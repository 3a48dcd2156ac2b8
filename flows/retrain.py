"""retrain: extract what is new -> train -> compare with the champion on fixed test sets -> promote the better one."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.evaluate import evaluate
from flows.extract import Extraction, extract
from flows.train import TrainFlowConfig, job_of
from iamsb_core.metrics.promotion import Decision, PromotionRule
from iamsb_core.metrics.protocols import protocol as named_protocol
from iamsb_core.report.retraining import RetrainReport
from iamsb_core.training.model_folder import ModelCard
from storage.home import Home
from storage.judgements import lost_before, note_lost
from storage.refs import ModelRef
from storage.registry import MODEL_NAME, rolled_back
from storage.staging import exclusive_now
from tasks.features import check_truth
from tasks.models import champion, find_model, promote, train_system
from tasks.promotion import (
    DataSource,
    TestSet,
    changes_since,
    choose_test_sets,
    comparison_of,
    judge,
    note_data,
    other_settings,
    write_page,
)
from tasks.scoring import Evaluation
from tasks.train_job import MoreData, TrainJob

log = logging.getLogger(__name__)

LOCK_FILE = "retrain.lock"


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What came of a retraining."""

    outcome: Literal["busy", "no data", "nothing new", "promoted", "kept"]
    message: str
    candidate: str = ""
    """URI of the model trained"""
    champion: str = ""
    """URI of the model that was the champion before"""
    decision: Decision | None = None
    """the comparison, where there was one"""
    page: Path | None = None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """How a retraining trains and decides: the flow's parameters."""

    root: Path
    dataset: str
    train: TrainFlowConfig
    also: tuple[DataSource, ...]
    test_sets: tuple[TestSet, ...]
    rule: PromotionRule
    protocol: str
    warm: bool


@flow(name="retrain")
def retrain(
    root: Path,
    dataset: str = "lavdf",
    config: TrainFlowConfig = TrainFlowConfig(),  # noqa: B008 - frozen
    *,
    also: tuple[DataSource, ...] = (),
    test_sets: tuple[TestSet, ...] = (),
    rule: PromotionRule = PromotionRule(),  # noqa: B008 - frozen
    protocol: str = "lavdf",
    warm: bool = False,
) -> Retraining:
    """Train on what the datasets now hold; the alias moves only to a model that is better on the test sets.

    With the champion's own data, configuration and code there is nothing to do, nor where the model that they give
    has lost the same comparison before. One retraining at a time in a home: a second one says so and ends well.

    also: datasets trained on beside the first, such as the corrections of the desk; one that is not there is left out.
    test_sets: what models are compared on; none: the dataset's own test split if it has labels, else its dev split.
    warm: begin with the champion's weights, where there is a champion.
    """
    plan = _Plan(
        root=root,
        dataset=dataset,
        train=config.resolved(),
        also=also,
        test_sets=test_sets,
        rule=rule,
        protocol=named_protocol(protocol).name,
        warm=warm,
    )
    home, owner = Home.current(), f"process {os.getpid()} on {socket.gethostname()} since {_now()}"
    with exclusive_now(home.root / LOCK_FILE, owner) as other:
        if other is None:
            done = _retrain(plan, home)
        else:
            done = Retraining(outcome="busy", message=f"another retraining is at work ({other}); this one did nothing")
    log.info("%s: %s", done.outcome, done.message)
    where = "" if done.page is None else f"\n\nPage: `{done.page}`"
    create_markdown_artifact(f"**{done.outcome}**: {done.message}{where}", key="retraining")
    return done


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """Everything that is known before training."""

    home: Home
    plan: _Plan
    job: TrainJob
    extracted: tuple[Extraction, ...]
    test_sets: tuple[TestSet, ...]
    before: ModelRef | None
    card: ModelCard | None
    """the champion's"""


def _retrain(plan: _Plan, home: Home) -> Retraining:
    if not DataSource(dataset=plan.dataset, root=plan.root).is_there:
        message = f"there is no dataset at {plan.root}, or an empty one; give the deployment its `root`"
        return Retraining(outcome="no data", message=message)
    prepared = _prepare(plan, home)
    idle = _nothing_new(prepared)
    return _train_and_decide(prepared) if idle is None else idle


def _prepare(plan: _Plan, home: Home) -> _Prepared:
    """Read all manifests anew, extract what is new, and look at the champion."""
    own = DataSource(dataset=plan.dataset, root=plan.root)
    sources = [own, *(one for one in plan.also if one.is_there)]
    for one in plan.also:
        if not one.is_there:
            log.warning("there is nothing at %s yet; %s is left out", one.root, one.dataset)
    for one in sources:
        check_truth(one.dataset, one.root, ("train", "dev"), of_streams=True)
    test_sets = choose_test_sets(plan.dataset, plan.root, plan.test_sets)
    extracted = tuple(extract(one.root, one.dataset, plan.train.features) for one in sources)
    before = champion(home)
    card = None if before is None else find_model(home, before.uri)[1]
    more = tuple(MoreData(dataset=each.dataset, root=each.root, manifest=each.manifest) for each in extracted[1:])
    job = job_of(plan.dataset, plan.train, extracted[0], home)
    return _Prepared(
        home=home,
        plan=plan,
        job=replace(job, more=more, start=before if plan.warm else None),
        extracted=extracted,
        test_sets=test_sets,
        before=before,
        card=card,
    )


def _nothing_new(prepared: _Prepared) -> Retraining | None:
    """Why there is nothing to do, if there is not."""
    before, card = prepared.before, prepared.card
    if before is None or card is None:
        return None
    message = _known_result(prepared, before, card)
    return None if message is None else Retraining(outcome="nothing new", message=message, champion=before.uri)


def _known_result(prepared: _Prepared, before: ModelRef, card: ModelCard) -> str | None:
    """What is known already of the model that this training would give."""
    home = prepared.home
    if _is_of(prepared.job, card):
        return f"the champion {before.uri} was trained on this very data"
    for version in rolled_back(home):
        if _is_of(prepared.job, find_model(home, f"models:/{MODEL_NAME}/{version}")[1]):
            return (
                f"version {version}, trained on this very data, was rolled back; `iamsb rollback {version}` makes it "
                "the champion again"
            )
    lost = lost_before(home, _comparison(prepared, before))
    if lost is not None:
        return f"version {lost}, trained on this very data, was compared with the champion {before.uri} before and lost"
    return None


def _is_of(job: TrainJob, card: ModelCard) -> bool:
    return job.recipe in (card.training.get("recipe"), card.training.get("job"))


def _comparison(prepared: _Prepared, before: ModelRef) -> str:
    plan = prepared.plan
    return comparison_of(prepared.job, before, prepared.test_sets, plan.rule, plan.protocol)


def _train_and_decide(prepared: _Prepared) -> Retraining:
    home, before = prepared.home, prepared.before
    data = note_data(prepared.job)
    model = train_system(prepared.job).model
    decided = _compared(prepared, model)
    if decided.outcome == "promoted":
        now = champion(home)
        if (None if now is None else now.version) != (None if before is None else before.version):
            uri = "none" if now is None else now.uri
            message = f"the champion became {uri} while {model.uri} was trained; compare again"
            decided = replace(decided, outcome="kept", message=message)
        else:
            promote(home, model, decided.message)
    elif before is not None:
        note_lost(home, model.version, _comparison(prepared, before))
    report = RetrainReport(
        at=_now(),
        datasets=tuple(f"{each.dataset} at {each.root}" for each in prepared.extracted),
        outcome=decided.outcome,
        message=decided.message,
        candidate=model.uri,
        champion=decided.champion,
        start="" if prepared.job.start is None else prepared.job.start.uri,
        num_decoded=sum(each.num_decoded for each in prepared.extracted),
        num_bad=sum(each.num_bad for each in prepared.extracted),
        data=changes_since(home, prepared.card, data),
        settings=other_settings(prepared.job, prepared.card),
        protocol=prepared.plan.protocol,
        rule=prepared.plan.rule,
        decision=decided.decision,
    )
    return replace(decided, page=write_page(home, report, model))


def _compared(prepared: _Prepared, model: ModelRef) -> Retraining:
    """Whether the trained model is to be the champion; nothing is moved yet."""
    before = prepared.before
    done = Retraining(outcome="promoted", message=f"{model.uri} is the first champion", candidate=model.uri)
    if before is None:
        return done
    done = replace(done, champion=before.uri)
    ours = _evaluated(prepared, model.uri)
    try:
        theirs = _evaluated(prepared, before.uri)
    except ValueError as error:
        message = f"{model.uri} replaces {before.uri}, which cannot be used any more: {error}"
        return replace(done, message=message)
    rule, protocol = prepared.plan.rule, prepared.plan.protocol
    decision = judge(prepared.test_sets, ours, theirs, rule=rule, protocol=protocol, home=prepared.home)
    numbers = f"{100 * decision.candidate:.2f} against {100 * decision.champion:.2f}"
    if decision.promote:
        return replace(done, decision=decision, message=f"{model.uri} replaces {before.uri}: {numbers}")
    message = f"{before.uri} stays; {model.uri} has {numbers}: {'; '.join(decision.reasons)}"
    return replace(done, decision=decision, outcome="kept", message=message)


def _evaluated(prepared: _Prepared, uri: str) -> Sequence[Evaluation]:
    options = {"protocol": prepared.plan.protocol, "device": prepared.plan.train.device}
    return [
        evaluate(one.root, one.dataset, uri, split=one.split, baselines=False, **options) for one in prepared.test_sets
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
