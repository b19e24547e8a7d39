"""Few-shot accuracy against other solvers, and exact top-1."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from experiments import STUDIES
from vitstudy.data.keyed import generator
from vitstudy.data.sources import DataError, Images
from vitstudy.evaluation.accuracy import encode
from vitstudy.evaluation.fewshot import accuracy, draw_shots, ridge
from vitstudy.models.factory import build

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "d"), [(10, 40), (40, 10), (20, 20)])
@pytest.mark.parametrize("l2", [1e-3, 1.0, 1024.0])
def test_ridge_equals_scikit_learns(n, d, l2):
    x, y = RNG.normal(size=(n, d)), RNG.normal(size=(n, 3))
    reference = Ridge(alpha=l2, fit_intercept=False, solver="svd").fit(x, y).coef_.T
    assert ridge(x, y, l2) == pytest.approx(reference, abs=1e-8)


@pytest.mark.parametrize(("shots", "d"), [(2, 30), (20, 5)])
def test_accuracy_equals_least_squares_on_the_augmented_system(shots, d):
    labels, test_labels = np.repeat(np.arange(4), shots), RNG.integers(0, 4, 200)
    centres = RNG.normal(size=(4, d))
    train = centres[labels] + RNG.normal(size=(len(labels), d))
    test = centres[test_labels] + RNG.normal(size=(200, d))
    a, b = ((x - train.mean(0)) / (train.std(0) + 1e-5) for x in (train, test))
    a, b = (np.hstack([x, np.full((len(x), 1), 100.0)]) for x in (a, b))
    system = np.vstack([a, np.sqrt(1024.0) * np.eye(d + 1)])
    target = np.vstack([2.0 * np.eye(4)[labels] - 1, np.zeros((d + 1, 4))])
    predicted = (b @ np.linalg.lstsq(system, target, rcond=None)[0]).argmax(1)
    found = accuracy(train, labels, test, test_labels, 1024.0)
    assert found == (predicted == test_labels).mean()
    assert 0.3 < found < 1


def test_labels_need_not_start_at_zero():
    train = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 1.0], [1.0, 0.1]])
    labels = np.array([7, 3, 7, 3])
    assert accuracy(train, labels, train, labels, 1.0) == 1.0


def test_shots_are_drawn_per_class_without_repeats_and_repeatably():
    labels = RNG.permutation(np.repeat(np.arange(6), 30))
    chosen = draw_shots(labels, 5, draw=0)
    assert np.bincount(labels[chosen]).tolist() == [5] * 6
    assert len(set(chosen)) == 30
    assert np.array_equal(chosen, draw_shots(labels, 5, draw=0))
    assert not np.array_equal(chosen, draw_shots(labels, 5, draw=1))
    with pytest.raises(DataError, match="31-shot evaluation: class 0 has only 30 images"):
        draw_shots(labels, 31, draw=0)


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_top1_is_correct_over_total_whatever_the_batch(batch_size):
    net = build(STUDIES["posemb"].runs("smoke")[1].model, lambda name: generator(0, name)).train()
    net.head.weight.data.normal_(generator=generator(0, "head"))
    images = Images(RNG.integers(0, 256, (23, 1, 28, 28), dtype=np.uint8), RNG.integers(0, 10, 23))
    found = encode(net, images, batch_size=batch_size)
    assert net.training
    alone = [encode(net, Images(images.pixels[i : i + 1], images.labels[i : i + 1])) for i in range(23)]
    assert found.predicted.tolist() == [one.predicted[0] for one in alone]
    assert found.features == pytest.approx(np.concatenate([one.features for one in alone]), abs=1e-5)
    assert found.top1() == sum(one.predicted[0] == one.labels[0] for one in alone) / 23


@pytest.mark.parametrize(("asked", "batches"), [(500, [100, 100, 50]), (80, [80, 80, 80, 10])])
def test_a_cpu_evaluates_no_more_than_a_hundred_images_at_once(asked, batches):
    net = build(STUDIES["posemb"].runs("smoke")[1].model, lambda name: generator(0, name))
    seen = []
    net.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    encode(net, Images(np.zeros((250, 1, 28, 28), np.uint8), np.zeros(250, np.int64)), batch_size=asked)
    assert seen == batches
