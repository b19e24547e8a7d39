"""The order of an epoch is a bijection without structure, computed place by place, whatever n."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, spearmanr

from vitstudy.data.permutation import BLOCK, _block, permute, stretch


def order(n, seed=0, epoch=0):
    return permute(seed, epoch, n, np.arange(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 97, 256, 257, 1000, 2**14, 2**14 + 1, 55_000])
def test_every_thing_has_one_place(n):
    assert np.array_equal(np.sort(order(n)), np.arange(n))


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**31), epoch=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_every_thing_has_one_place_for_any_key(n, seed, epoch):
    assert np.array_equal(np.sort(order(n, seed, epoch)), np.arange(n))


def test_any_place_can_be_asked_for_first_and_in_any_company():
    whole, places = order(1000), np.array([999, 0, 500, 500])
    assert np.array_equal(permute(0, 0, 1000, places), whole[places])


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (BLOCK - 7, BLOCK + 7), (BLOCK, 3 * BLOCK), (29_990, 30_000)])
def test_a_stretch_is_that_part_of_the_order(start, stop):
    assert np.array_equal(stretch(0, 0, 30_000, start, stop), order(30_000)[start:stop])


def test_seeds_and_epochs_give_unrelated_orders():
    orders = [order(5000, seed, epoch) for seed in range(3) for epoch in range(3)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).sum() < 10  # expected 1, Poisson
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / 5000**0.5


def test_small_orders_are_all_reached_about_equally_often():
    """24 orders of 4 things over 6,000 epochs: as often as a fair shuffle would (1 in 10,000 fair ones would fail)."""
    found = [tuple(order(4, seed=7, epoch=epoch)) for epoch in range(6000)]
    counts = [found.count(one) for one in set(found)]
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("n", [10_000, 2**14 + 1])
def test_places_and_neighbours_tell_nothing(n):
    one = order(n)
    assert abs(spearmanr(np.arange(n), one).statistic) < 5 / n**0.5
    for lag in (1, 2, 50):
        assert abs(np.corrcoef(one[:-lag], one[lag:])[0, 1]) < 5 / n**0.5
        pairs = np.histogram2d(one[:-lag], one[lag:], bins=10)[0]
        assert chisquare(pairs.ravel()).pvalue > 1e-4
    assert chisquare(np.bincount(one[: n // 2] % 16)).pvalue > 1e-4  # low bits: which class, when classes take turns


def test_ten_million_places_take_no_memory():
    _block.cache_clear()
    tracemalloc.start()
    things = stretch(0, 0, 10**7, 9_999_744, 10**7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(things.tolist())) == 256
    assert 0 <= things.min() <= things.max() < 10**7
    assert peak < 2e6
