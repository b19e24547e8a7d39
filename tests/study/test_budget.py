"""The part of a grid that fits a budget: never over it, whole cells, closed under needs, and nothing that still fits left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import STUDIES
from vitstudy.study.budget import UNITS, cells, choose, parse_duration, wall_seconds
from vitstudy.study.study import with_needs

GRID = STUDIES["data_scale"].build("smoke", 2)
RUNS = with_needs(GRID)
CELLS = cells(GRID)


@st.composite
def cases(draw):
    """Some cells of a study with parents and tuning runs, what each run takes (0: it has ended), and how many workers."""
    some = draw(st.lists(st.sampled_from(range(len(CELLS))), min_size=1, max_size=7, unique=True))
    grid = [spec for cell in some for spec in CELLS[cell]]
    runs = with_needs(grid)
    costs = draw(st.lists(st.integers(0, 9), min_size=len(runs), max_size=len(runs)))
    return grid, dict(zip(runs, costs, strict=True)), draw(st.integers(1, 3))


BUDGET = st.integers(1, 120)
LIGHT = settings(max_examples=40, deadline=None)


def test_the_study_used_here_has_cells_that_share_what_they_need():
    assert any(spec.needs for spec in GRID)
    assert sum(len(with_needs(cell)) for cell in CELLS) > len(RUNS)
    assert all({spec.seed for spec in cell} == {0, 1} for cell in CELLS)


@LIGHT
@given(cases(), BUDGET)
def test_the_part_fits_and_is_whole_and_closed_and_nothing_else_would_fit(case, budget):
    grid, costs, jobs = case
    part = choose(grid, costs.__getitem__, budget, jobs)
    assert part.seconds == wall_seconds(part.runs, costs.__getitem__, jobs) <= budget
    assert part.runs == with_needs(part.runs)  # every need is there, before what needs it
    left = {cell.runs for cell in part.left_out}
    kept = [cell for cell in cells(grid) if cell not in left]
    assert set(part.runs) == set(with_needs(spec for cell in kept for spec in cell))
    assert part.left_out_runs == len(with_needs(grid)) - len(part.runs)
    for cell in part.left_out:
        assert wall_seconds(_together(grid, (*part.runs, *cell.runs)), costs.__getitem__, jobs) > budget
        assert cell.seconds == sum(costs[spec] for spec in set(with_needs(cell.runs)) - set(part.runs))


@LIGHT
@given(cases(), BUDGET, BUDGET)
def test_a_larger_budget_never_uses_less_time(case, one, other):
    grid, costs, jobs = case
    small, large = (choose(grid, costs.__getitem__, budget, jobs) for budget in sorted((one, other)))
    assert small.seconds <= large.seconds


@LIGHT
@given(cases())
def test_finished_runs_cost_nothing_and_what_was_chosen_stays_chosen(case):
    grid, costs, jobs = case
    first = choose(grid, costs.__getitem__, 30, jobs)
    now = {spec: 0 if spec in first.runs else cost for spec, cost in costs.items()}
    again = choose(grid, now.__getitem__, 30, jobs)
    assert set(first.runs) <= set(again.runs)
    everything = choose(grid, lambda spec: 0.0, 1, jobs)
    assert everything.left_out == ()
    assert set(everything.runs) == set(costs)


@LIGHT
@given(cases(), st.data())
def test_wall_time_is_the_sum_on_one_worker_and_never_below_what_many_could_reach(case, data):
    grid, costs, jobs = case
    wall = wall_seconds(grid, costs.__getitem__, jobs)
    assert wall_seconds(grid, costs.__getitem__, 1) == sum(costs.values())
    assert wall >= sum(costs.values()) / jobs
    assert wall >= max(_chain(spec, costs) for spec in costs)
    assert wall_seconds(grid, costs.__getitem__, jobs + 1) <= wall or any(spec.needs for spec in costs)
    part = data.draw(st.lists(st.sampled_from(grid), unique=True))
    assert wall_seconds(_together(grid, part), costs.__getitem__, jobs) <= wall


def _together(grid, specs):
    """`specs` and what they need, in the order that they have in the whole grid: the schedule's."""
    closed = set(with_needs(specs))
    return [spec for spec in with_needs(grid) if spec in closed]


def _chain(spec, costs):
    return costs[spec] + max((_chain(need, costs) for need in spec.needs), default=0)


def test_cells_are_taken_in_the_order_of_the_study_and_a_later_one_fills_the_gap():
    grid = STUDIES["posemb"].build("smoke", 2)
    a, b, c, *rest = cells(grid)
    costs = dict.fromkeys(grid, 50.0) | dict.fromkeys(a, 2.0) | dict.fromkeys(b, 3.0) | dict.fromkeys(c, 1.0)
    seconds = costs.__getitem__
    assert set(choose(grid, seconds, 10).runs) == {*a, *b}
    assert set(choose(grid, seconds, 6).runs) == {*a, *c}  # b does not fit beside a
    assert set(choose(grid, seconds, 3.5).runs) == {*c}
    assert set(choose(grid, seconds, 1.9).runs) == set()  # two seeds or none
    assert [cell.runs for cell in choose(grid, seconds, 10).left_out] == [c, *rest]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("8h", 28800), ("1.5d", 129600), (" 2 h ", 7200)]
)
def test_a_time_is_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["8", "8x", "h", "-1h", "0h", "0.0s", "1h30min", "1e3s", "m", ""])
def test_anything_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="is no time; write a number above 0 and a unit: s, min, h, d") as error:
        parse_duration(text)
    assert f"'{text}'" in str(error.value)
    assert list(UNITS) == ["s", "min", "h", "d"]
