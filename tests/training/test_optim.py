"""Learning rate, AdamW and losses against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vitstudy.study.spec import OptimSpec
from vitstudy.training.optim import build_optimizer, loss, lr_at

SPEC = OptimSpec(steps=100, batch_size=1, lr=0.1, weight_decay=0.3, warmup_steps=20, end_lr=1e-5)


def test_warm_up_starts_at_zero_and_the_peak_comes_at_its_end():
    rates = [lr_at(SPEC, step) for step in range(100)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.05)
    assert max(rates) == rates[20] == 0.1


@pytest.mark.parametrize(
    ("schedule", "half", "end"),
    [("linear", 0.05 + 0.5e-5, 1e-5), ("cosine", 0.05, 0.0), ("constant", 0.1, 0.1)],
)
def test_decay_is_counted_from_the_end_of_warm_up(schedule, half, end):
    spec = SPEC.model_copy(update={"schedule": schedule})
    assert lr_at(spec, 60) == pytest.approx(half)
    assert lr_at(spec, 100) == pytest.approx(end)
    if schedule == "cosine":
        assert lr_at(spec, 40) == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize("mask", ["all", "kernels"])
def test_adamw_is_the_papers(mask):
    """Decoupled decay, multiplied by the learning rate; on all parameters unless masked."""
    net = nn.Linear(3, 2).double()
    nn.init.normal_(net.bias)
    optimizer = build_optimizer(net, SPEC.model_copy(update={"decay_mask": mask}))
    values = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    moments = {name: (np.zeros_like(v), np.zeros_like(v)) for name, v in values.items()}
    for step in range(1, 6):
        for name, parameter in net.named_parameters():
            gradient = np.random.default_rng([step, len(name)]).normal(size=parameter.shape)
            parameter.grad = torch.from_numpy(gradient)
            m, v = (
                b * old + (1 - b) * g
                for b, old, g in zip((0.9, 0.999), moments[name], (gradient, gradient**2), strict=True)
            )
            moments[name] = m, v
            decay = 0.3 if mask == "all" or name == "weight" else 0.0
            update = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8) + decay * values[name]
            values[name] = values[name] - 0.1 * update
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert parameter.detach().numpy() == pytest.approx(values[name], rel=1e-9)


def test_losses():
    logits, labels = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]), torch.tensor([0, 2])
    softmax = [
        -math.log(math.exp(row[y]) / sum(map(math.exp, row))) for row, y in zip(logits.tolist(), [0, 2], strict=True)
    ]
    assert loss(logits, labels, SPEC).item() == pytest.approx(sum(softmax) / 2)
    sigmoid = [
        sum(math.log1p(math.exp(-v if k == y else v)) for k, v in enumerate(row))
        for row, y in zip(logits.tolist(), [0, 2], strict=True)
    ]
    assert loss(logits, labels, SPEC.model_copy(update={"loss": "sigmoid"})).item() == pytest.approx(sum(sigmoid) / 2)


def test_label_smoothing_mixes_the_target_with_the_uniform_distribution():
    logits, labels = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]), torch.tensor([0, 2])
    targets = 0.9 * torch.nn.functional.one_hot(labels, 3) + 0.1 / 3
    wanted = -(targets * logits.log_softmax(-1)).sum(-1).mean()
    found = loss(logits, labels, SPEC.model_copy(update={"label_smoothing": 0.1}))
    assert found.item() == pytest.approx(wanted.item())


def test_sgd_is_the_papers():
    """B.1.1: momentum 0.9, no decay: v = 0.9 v + g, w = w - lr v."""
    net = nn.Linear(3, 2).double()
    spec = OptimSpec(
        algorithm="sgd", steps=10, batch_size=1, lr=0.1, weight_decay=0.0, warmup_steps=0, schedule="cosine"
    )
    optimizer = build_optimizer(net, spec)
    value, velocity = net.weight.detach().numpy().copy(), 0.0
    for step in range(4):
        gradient = np.random.default_rng(step).normal(size=value.shape)
        net.weight.grad, net.bias.grad = torch.from_numpy(gradient), torch.zeros_like(net.bias)
        velocity = 0.9 * velocity + gradient
        value = value - 0.1 * velocity
        optimizer.step()
    assert net.weight.detach().numpy() == pytest.approx(value, rel=1e-12)
    with pytest.raises(ValueError, match="algorithm 'sgd' has no weight decay"):
        OptimSpec(**{**spec.model_dump(), "weight_decay": 0.1})
