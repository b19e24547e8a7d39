"""What `auto` becomes: the fastest, also when other work slows the machine for a while."""

import pytest

from experiments import STUDIES
from vitstudy.study.spec import Execution
from vitstudy.training import autotune

SPEC = STUDIES["posemb"].runs("smoke")[0]
EXECUTION = Execution(device="cpu", precision="fp32", threads=1)
CHOICES = autotune.combinations("vit", EXECUTION)


@pytest.mark.parametrize("slow", range(autotune.ROUNDS * 2))
def test_a_burst_of_other_work_does_not_change_the_choice(slow, monkeypatch):
    """Plain is twice as fast as fused; from any turn on, all turns of half the measurement take four times as long."""
    turns = iter(range(autotune.ROUNDS * 2))

    def speed(spec, execution, seconds):
        return (2.0 if execution.attention == "plain" else 1.0) / (
            4 if slow <= next(turns) < slow + autotune.ROUNDS else 1
        )

    monkeypatch.setattr(autotune, "_speed", speed)
    found = autotune.measure(SPEC, EXECUTION)
    assert [choice for choice, _ in found] == CHOICES
    assert {choice["attention"]: speed for choice, speed in found} == {"plain": 2.0, "fused": 1.0}


def test_every_choice_is_really_trained():
    found = autotune.measure(SPEC, EXECUTION, seconds=0.01)
    assert [choice for choice, _ in found] == CHOICES
    assert all(speed > 0 for _, speed in found)


@pytest.mark.parametrize(("fused", "chosen"), [(0.5, "plain"), (1.0, "plain"), (1.09, "plain"), (1.11, "fused")])
def test_a_tie_goes_to_the_same_choice_on_every_day(fused, chosen):
    """Kernels round differently: a choice by noise would make two stores of one machine disagree."""
    speeds = {"plain": 1.0, "fused": fused}
    assert autotune.fastest([(choice, speeds[choice["attention"]]) for choice in CHOICES])["attention"] == chosen
