"""The batches of an epoch, as a function of (seed, epoch): a resumed run sees exactly what it would have seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.augment import AugmentConfig, augment
from iamsb_core.data.batch import Batch
from iamsb_core.data.collate import gather
from iamsb_core.data.dataset import ClipDataset, LocatedItem


def epoch_order(num_items: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The item numbers of every batch; a last batch of under half the size joins the one before."""
    order = np.random.default_rng([seed, epoch]).permutation(num_items).astype(np.int64)
    batches = [order[first : first + batch_size] for first in range(0, num_items, batch_size)]
    if len(batches) > 1 and len(batches[-1]) * 2 < batch_size:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def training_batches(
    dataset: ClipDataset,
    batch_size: int,
    seed: int,
    epoch: int,
    augmentation: AugmentConfig,
    *,
    first_batch: int = 0,
    rank: int = 0,
    num_processes: int = 1,
) -> Iterator[Batch]:
    """The epoch's batches from number `first_batch` on: of each the clips `rank`, `rank + num_processes`, and so on."""
    order = epoch_order(len(dataset), batch_size, seed, epoch)[first_batch:]
    for own in _expected(dataset, [numbers[rank::num_processes].tolist() for numbers in order]):
        items = [_training_item(dataset, number, seed, epoch, augmentation) for number in own]
        yield gather(items, dataset.source.streams)


def _training_item(dataset: ClipDataset, number: int, seed: int, epoch: int, config: AugmentConfig) -> LocatedItem:
    rng = np.random.default_rng([seed, epoch, number, 1])
    return augment(dataset.item(number, rng), config, rng)


def plain_batches(dataset: ClipDataset, batch_size: int, seed: int) -> Iterator[Batch]:
    """One pass in order without augmentation, for fitting normalisation."""
    batches = [range(first, min(first + batch_size, len(dataset))) for first in range(0, len(dataset), batch_size)]
    for numbers in _expected(dataset, batches):
        items = [dataset.item(number, np.random.default_rng([seed, number])) for number in numbers]
        yield gather(items, dataset.source.streams)


def _expected(dataset: ClipDataset, batches: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
    """The item numbers of each batch, when the source knows of the next one's: the disk works while this is used."""
    for place, numbers in enumerate(batches):
        dataset.expect([*(numbers if place == 0 else ()), *(batches[place + 1] if place + 1 < len(batches) else ())])
        yield numbers
