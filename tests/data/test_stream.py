"""Batch t is a function of (seed, t): once per epoch, epochs differ, no matter where one starts or who loads."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vitstudy.data.dataset import Resident
from vitstudy.data.keyed import derive, generator
from vitstudy.data.sources import Images
from vitstudy.data.stream import Stream, StreamDataset
from vitstudy.data.transforms import _inception_boxes, augment, to_input
from vitstudy.study.spec import DataSpec

RNG = np.random.default_rng(0)
IMAGES = Images(RNG.integers(0, 256, (97, 1, 8, 8), dtype=np.uint8), RNG.integers(0, 3, 97))
SPEC = DataSpec(source="digits", minival_size=1, image_size=8, crop="pad")


def stream(batch=30, seed=0, ids=None, spec=SPEC):
    return Stream(Resident(IMAGES, np.arange(97) if ids is None else ids), spec, batch, seed)


@pytest.mark.parametrize("batch", [1, 30, 97, 200])
def test_every_sample_once_per_epoch_and_epochs_differ(batch):
    count = -(-4 * 97 // batch)
    ids = torch.cat([stream(batch).batch(step).ids for step in range(count)])[: 4 * 97].view(4, 97)
    for epoch in ids:
        assert sorted(epoch.tolist()) == list(range(97))
    assert len({tuple(epoch.tolist()) for epoch in ids}) == 4


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_and_starting_point_change_nothing(workers):
    loader = DataLoader(StreamDataset(stream(), 3, 10), batch_size=None, num_workers=workers)
    batches = list(loader)
    assert [batch.step for batch in batches] == list(range(3, 10))
    for batch in batches:
        alone = stream().batch(batch.step)
        assert torch.equal(batch.ids, alone.ids)
        assert torch.equal(batch.x, alone.x)
        assert torch.equal(batch.y, alone.y)


class Recorder(Resident):
    """Notes what it is told to expect and what it is asked for."""

    def __init__(self):
        super().__init__(IMAGES, np.arange(97))
        self.expected, self.asked = [], []

    def expect(self, places):
        self.expected.append(places.tolist())

    def get(self, places):
        self.asked.append(places.tolist())
        return super().get(places)


def test_a_pool_is_told_the_next_batch_and_none_past_the_end():
    pool = Recorder()
    list(StreamDataset(Stream(pool, SPEC, 30, 0), 3, 8))
    assert len(pool.asked) == 5
    assert pool.expected == pool.asked[1:]


def test_seeds_give_other_orders():
    assert not torch.equal(stream(seed=0).batch(0).ids, stream(seed=1).batch(0).ids)


def test_labels_and_images_belong_together():
    plain = SPEC.model_copy(update={"crop": "none", "flip": False})
    batch = stream(ids=np.arange(50, 97), spec=plain).batch(0)
    assert batch.ids.min() >= 50
    assert np.array_equal(batch.y, IMAGES.labels[batch.ids])
    assert np.array_equal(((batch.x + 1) * 127.5).round().byte(), IMAGES.pixels[batch.ids])


def test_flip_turns_half_of_the_images_over():
    spec = SPEC.model_copy(update={"crop": "none"})
    pixels = torch.from_numpy(IMAGES.pixels).repeat(20, 1, 1, 1)
    x, out = to_input(pixels, 8), augment(pixels, spec, generator(0, "test"))
    flipped = (out == x.flip(-1)).flatten(1).all(1)
    assert ((out == x).flatten(1).all(1) ^ flipped).all()
    assert abs(flipped.float().mean() - 0.5) < 4 * 0.5 / len(pixels) ** 0.5


def test_pad_crop_is_a_shift_with_black_border():
    spec = SPEC.model_copy(update={"flip": False})
    pixels = torch.from_numpy(IMAGES.pixels)
    out = augment(pixels, spec, generator(0, "test"))
    padded = torch.nn.functional.pad(to_input(pixels, 8), (1, 1, 1, 1), value=-1.0)
    shifts = [padded[:, :, dy : dy + 8, dx : dx + 8] for dy in range(3) for dx in range(3)]
    matches = torch.stack([(out == shift).flatten(1).all(1) for shift in shifts])
    assert matches.any(0).all()
    assert matches.any(1).all()  # all nine occur


def test_inception_boxes_keep_to_their_limits():
    top, left, height, width = _inception_boxes(5_000, generator(0, "test")).unbind(1)
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + height).max() <= 1 + 1e-6
    assert (left + width).max() <= 1 + 1e-6
    area, ratio = height * width, width / height
    assert 0.05 - 1e-6 <= area.min() < 0.08
    assert area.max() > 0.9
    assert ratio.min() >= 3 / 4 - 1e-4
    assert ratio.max() <= 4 / 3 + 1e-4


def test_inception_crop_of_a_ramp_is_a_ramp_within_range():
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).repeat(50, 1, 64, 1)
    out = augment(
        ramp, DataSpec(source="digits", minival_size=1, image_size=64, crop="inception", flip=False), generator(0, "t")
    )
    assert out.min() >= -1
    assert out.max() <= 1
    assert (out.diff(dim=-1) >= -1e-5).all()


def test_keys_differ_in_every_part():
    keys = {derive(seed, purpose, index) for seed in range(5) for purpose in ("a", "b") for index in range(50)}
    assert len(keys) == 500
    assert all(0 <= key < 2**63 for key in keys)
