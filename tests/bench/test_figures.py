"""What the benchmark concludes, and that its data is as large as it says."""

from __future__ import annotations

import os
import time

from bench import data
from bench.cpu import cpu_seconds, interleave, ratio
from bench.figures import compared, counted, last_line


def test_a_ratio_is_that_of_pairs_whatever_the_machine_did_meanwhile():
    slowed = [1.0, 1.0, 3.0, 3.0, 9.0, 9.0]
    found = ratio([2 * cost for cost in slowed], slowed)
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.0)


def test_an_interval_tells_how_far_the_pairs_are_apart():
    found = ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert found.median == 3.0 and found.low < 3.0 < found.high


def test_slices_are_run_in_turn_and_what_makes_them_ready_is_not_counted():
    clock, order = [0.0], []

    def work(name: str, seconds: float) -> int:
        order.append(name)
        clock[0] += seconds
        return 2

    costs = interleave(
        {"a": lambda: work("a", 4), "b": lambda: work("b", 1)},
        lambda: clock[0],
        rounds=2,
        before={"a": lambda: work("ready", 100)},
    )
    assert order == ["ready", "a", "b"] * 3
    assert costs == {"a": [2.0, 2.0], "b": [0.5, 0.5]}


def test_the_accounts_know_what_a_process_spent():
    before, began = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < began + 0.05:
        pass
    assert 0.04 < cpu_seconds(os.getpid()) - before < 0.5


def test_what_is_above_its_target_is_told_and_counted():
    good = compared("page", "view", 2, [1.0, 1.0], [1.0, 1.0])
    bad = compared("page", "view", 2, [3.0, 3.0], [1.0, 1.0])
    assert (good.is_within, bad.is_within) == (True, False)
    assert last_line([good, bad, counted("calls", "pages", "equal", "3", within=True)]) == (
        "bench: 2 of 3 within target"
    )


def test_the_tenants_own_as_many_machines_as_are_promised():
    of_each = [data.machines_of(tenant) for tenant in range(1, data.TENANTS + 1)]
    assert sum(of_each) == 20_000 and of_each[:2] == [5_000, 50] and min(of_each[2:]) >= 30
    assert len({data.slug(tenant) for tenant in range(1, data.FEW_TENANT + 1)}) == 502
