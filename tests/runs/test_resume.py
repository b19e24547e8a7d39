"""A run killed anywhere and resumed equals the uninterrupted one to the bit; what must not change a result does not."""

import pytest

from tests.runs import drill
from vitstudy.runs.store import Store
from vitstudy.training.checkpoint import newest

SPEC = drill.spec_with_everything_random()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("whole"))
    assert drill.run(store, [SPEC]) == 0
    return drill.outcome(store, SPEC)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, lease_ttl_s=0.4)


@pytest.mark.parametrize(
    ("faults", "starts"),
    [
        (["after-step:1"], [0, 0]),
        (["after-step:7"], [0, 4]),
        (["during-checkpoint:8"], [0, 4]),
        (["before-sidecar:8"], [0, 4]),
        (["after-step:20"], [0, 20]),
        (["before-result"], [0, 20]),
        (["after-step:6", "after-step:15"], [0, 4, 12]),
    ],
    ids=lambda value: "+".join(map(str, value)) if isinstance(value[0], str) else None,
)
def test_killed_and_resumed_equals_uninterrupted(store, whole, faults, starts):
    for fault in faults:
        assert drill.run(store, [SPEC], fault) == -9
        assert not store.is_done(SPEC)
    assert drill.run(store, [SPEC]) == 0
    assert drill.outcome(store, SPEC) == whole
    assert drill.segments(store, SPEC) == starts
    assert not [path for path in store.path(SPEC).rglob("*") if path.name.endswith(".tmp")]


def test_sigterm_saves_exits_75_and_resumes(store, whole):
    assert drill.run(store, [SPEC], "sigterm-at:7") == 75
    assert store.state(SPEC) == "interrupted"
    assert drill.run(store, [SPEC]) == 0
    assert drill.outcome(store, SPEC) == whole
    assert drill.segments(store, SPEC) == [0, 7]  # at the step of the signal, not at the last checkpoint before it


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint_is_passed_over(store, whole, damage):
    assert drill.run(store, [SPEC], "after-step:13") == -9
    path, step = newest(store.path(SPEC) / "checkpoints")
    assert step == 12
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-000000012.ckpt: damaged .*SHA-256"):
        newest(store.path(SPEC) / "checkpoints")
    assert drill.run(store, [SPEC]) == 0
    assert drill.segments(store, SPEC) == [0, 8]
    assert drill.outcome(store, SPEC) == whole


@pytest.mark.parametrize(
    "change",
    [{"minival_every": 3}, {"log_every": 7}, {"loader_workers": 2}, {"checkpoint_every_steps": 100}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_in_the_spec_does_not_change_the_weights(store, whole, change):
    assert drill.run(store, [SPEC], execution=drill.EXECUTION.model_copy(update=change)) == 0
    found = drill.outcome(store, SPEC)
    assert found["weights"] == whole["weights"]
    assert found["metrics"] == whole["metrics"]
    rows = {row["step"]: row for row in whole["log"]}
    for row in found["log"]:
        assert "minival/acc" in row or row == rows[row["step"]]


def test_the_log_shows_that_epochs_differ_and_rates_follow_the_step(whole):
    ids = [row["sample_ids"] for row in whole["log"]]
    assert len(set(ids)) == len(ids) == SPEC.optim.steps
    rates = [row["lr"] for row in whole["log"]]
    assert rates[0] == 0.0
    assert max(rates) == rates[SPEC.optim.warmup_steps] == SPEC.optim.lr


def test_another_seed_gives_other_weights(store, whole):
    other = drill.spec_with_everything_random(seed=1)
    assert drill.run(store, [other]) == 0
    assert drill.outcome(store, other)["weights"] != whole["weights"]
