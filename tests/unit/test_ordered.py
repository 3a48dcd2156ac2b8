"""Stages in threads: the order of the items, how many wait, errors in their turn, and an early stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tasks.ordered import in_order


def test_results_come_in_the_order_of_the_items_whatever_takes_longest():
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0.0)
        return number * number

    assert list(in_order(slow_at_first, range(20), num_threads=3, num_ahead=4, name="test")) == [
        number * number for number in range(20)
    ]


def test_several_threads_work_at_the_same_time():
    both = threading.Barrier(2, timeout=60.0)
    assert list(in_order(lambda _: both.wait() >= 0, range(4), num_threads=2, num_ahead=2, name="test")) == [True] * 4


def test_no_more_items_are_drawn_than_may_wait():
    drawn = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    with closing(in_order(str, items(), num_threads=2, num_ahead=3, name="test")) as results:
        assert next(results) == "0"
        assert drawn == [0, 1, 2, 3]
        assert next(results) == "1"
        assert drawn == [0, 1, 2, 3, 4]


def test_an_error_comes_in_its_turn():
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(refuse_three, range(10), num_threads=2, num_ahead=8, name="test")
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_where_the_taker_stops_what_has_not_begun_is_never_begun():
    begun, may_end = [], threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number:
            may_end.wait(60.0)

    with closing(in_order(work, range(50), num_threads=1, num_ahead=5, name="test")) as results:
        next(results)
        threading.Timer(0.05, may_end.set).start()
    assert begun in ([0], [0, 1])
