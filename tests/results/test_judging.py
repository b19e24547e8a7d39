"""The one rule from differences to a word: all are needed, any breaks it, many do not break it by chance."""

import math

import numpy as np
import pandas as pd

from vitstudy.results.judging import Expected, judge


def series(*values):
    return pd.Series(values, dtype=float)


def test_judge_needs_all_and_any_breaks_it():
    up, down, open_ = series(0.05, 0.06, 0.07), series(-0.05, -0.06, -0.07), series(-0.05, 0.0, 0.06)
    assert judge([Expected("a", up, 1), Expected("b", down, -1)])[0] == "reproduced"
    assert judge([Expected("a", up, 1), Expected("b", down, 1)])[0] == "contradicted"
    assert judge([Expected("a", up, 1), Expected("b", open_, 1)])[0] == "not separable"
    assert judge([Expected("a", series(0.5), 1)])[0] == "not separable"
    assert judge([Expected("a", series(), 1)])[0] == "not comparable"
    assert judge([Expected("a", up, 1, bound=0.2)])[0] == "contradicted"


def test_many_true_claims_are_rarely_contradicted():
    """Ten true differences of exactly 0 each: a 'contradicted' at most about 5 % of the time, however many there are."""
    rng = np.random.default_rng(0)
    trials = 200
    wrong = sum(
        judge([Expected(str(i), pd.Series(rng.normal(0, 1, 3)), 1) for i in range(10)])[0] == "contradicted"
        for _ in range(trials)
    )
    assert wrong / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
