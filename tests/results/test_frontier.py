"""The fitted law against planted ones and scipy; the interval of the compute ratio against simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.results.planted_scaling import BUDGETS, UNIT, law
from vitstudy.results.frontier import compute_ratio, fit


def planted(budgets, error, noise=0.0, seeds=3, rng=None):
    rng = rng or np.random.default_rng(0)
    accuracy = [[1 - error(at) * math.exp(noise * rng.normal()) for at in budgets] for _ in range(seeds)]
    return fit(pd.DataFrame(accuracy), pd.Series(np.array(budgets) * UNIT))


def test_a_planted_law_is_found_exactly_without_noise():
    found = planted(BUDGETS["vit"], lambda at: law(at, b=0.2, error=0.3))
    assert found.fits["b"].to_numpy() == pytest.approx(0.2)
    assert found.fits["a"].to_numpy() == pytest.approx(math.log(0.3) + 0.2 * math.log(UNIT))
    assert found.accuracy(math.log(5 * UNIT)).to_numpy() == pytest.approx(1 - 0.3 * 5**-0.2)
    assert (found.budgets, found.scatter) == (6, pytest.approx(0, abs=1e-12))


def test_each_seed_is_a_least_squares_line_in_logarithms():
    rng = np.random.default_rng(1)
    accuracy = pd.DataFrame(rng.uniform(0.5, 0.9, (3, 5)))
    compute = pd.Series(rng.uniform(1e12, 1e14, 5))
    found = fit(accuracy, compute)
    for seed in range(3):
        line = stats.linregress(np.log(compute), np.log(1 - accuracy.loc[seed]))
        assert found.fits.loc[seed].tolist() == pytest.approx([line.intercept, -line.slope])


def test_noise_is_averaged_out():
    found = planted(BUDGETS["vit"], lambda at: law(at, b=0.2), noise=0.02, seeds=200)
    assert found.fits["b"].mean() == pytest.approx(0.2, abs=0.002)


def test_seeds_with_a_gap_are_left_out_and_too_little_gives_no_law():
    accuracy = pd.DataFrame([[0.5, 0.6, 0.7], [0.5, np.nan, 0.7]], index=[4, 7])
    compute = pd.Series([1e12, 2e12, 4e12])
    assert fit(accuracy, compute).fits.index.tolist() == [4]
    assert fit(accuracy.loc[[7]], compute) is None
    assert fit(accuracy, pd.Series([1e12] * 3)) is None
    assert fit(accuracy, pd.Series([np.nan] * 3)) is None
    assert fit(pd.DataFrame([[1.0, 1.0]]), compute[:2]).fits["b"].tolist() == pytest.approx(
        [0]
    )  # no error at all: no infinity


@pytest.mark.parametrize(("b_vit", "b_resnet"), [(0.2, 0.2), (0.15, 0.22)])
def test_the_planted_ratio_is_found(b_vit, b_resnet):
    vit = planted(BUDGETS["vit"], lambda at: law(at, b=b_vit))
    resnet = planted(BUDGETS["resnet"], lambda at: law(at / 2.5, b=b_resnet))
    found = compute_ratio(resnet, vit)
    error = 1 - found.accuracy
    needed = [(0.3 / error) ** (1 / b) * times for b, times in ((b_resnet, 2.5), (b_vit, 1))]  # the laws, inverted
    assert found.value == pytest.approx(needed[0] / needed[1])
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    assert compute_ratio(vit, resnet).value == pytest.approx(1 / found.value)
    assert found.at_ends[0][0] < found.accuracy < found.at_ends[1][0]
    if b_vit == b_resnet:
        assert [value for _, value in found.at_ends] == pytest.approx([2.5, 2.5])


@pytest.mark.parametrize(("n", "noise"), [(2, 0.02), (3, 0.1), (5, 0.05)])
def test_the_interval_covers_as_often_as_it_says(n, noise):
    rng, trials = np.random.default_rng(n), 300
    covered = 0
    for _ in range(trials):
        vit = planted(BUDGETS["vit"], lambda at: law(at, b=0.2), noise, n, rng)
        resnet = planted(BUDGETS["resnet"], lambda at: law(at / 2, b=0.2), noise, n, rng)
        found = compute_ratio(resnet, vit)
        covered += found is None or math.isnan(found.low) or found.low <= 2 <= found.high
    assert covered / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_no_ratio_without_a_common_accuracy_or_a_falling_error():
    vit = planted(BUDGETS["vit"], lambda at: law(at))
    assert compute_ratio(planted(BUDGETS["resnet"], lambda at: 0.1 * law(at)), vit) is None
    assert compute_ratio(planted(BUDGETS["resnet"], lambda at: 0.2 * at**0.1), vit) is None
    other = planted(BUDGETS["resnet"], lambda at: law(at))
    other.fits.index = [10, 11, 12]
    assert compute_ratio(other, vit) is None


def test_one_seed_has_a_value_and_no_interval():
    one = [planted(BUDGETS[name], lambda at, k=k: law(at / k), seeds=1) for name, k in (("resnet", 3), ("vit", 1))]
    found = compute_ratio(*one)
    assert found.value == pytest.approx(3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_band_is_the_t_interval_of_the_seeds_laws():
    found = planted(BUDGETS["vit"], lambda at: law(at), noise=0.05)
    at = math.log(3 * UNIT)
    values = found.accuracy(at)
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    band = found.band(np.array([at])).iloc[0]
    assert [band["mean"] - band["half"], band["mean"] + band["half"]] == pytest.approx([low, high])
