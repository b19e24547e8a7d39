"""Subsets nest, balance, repeat, ignore file order, and never touch minival."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitstudy.data.sources import DataError, Images
from vitstudy.data.subset import split
from vitstudy.study.spec import DataSpec

RNG = np.random.default_rng(0)
POOL = Images(RNG.integers(0, 256, (300, 1, 4, 4), dtype=np.uint8), np.repeat(np.arange(5), [100, 80, 60, 40, 20]))


def spec(train=None, minival=50):
    return DataSpec(source="digits", train_size=train, minival_size=minival, image_size=4)


@given(st.integers(1, 249), st.integers(1, 249), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_smaller_subsets_are_part_of_larger_ones_and_minival_is_apart(a, b, minival):
    small, large = (split(POOL, spec(size, minival)) for size in sorted((a, b)))
    assert np.array_equal(small.train, large.train[: len(small.train)])
    assert np.array_equal(small.minival, large.minival)
    assert len(set(large.train)) == max(a, b)
    assert len(large.minival) == minival
    assert not set(large.train) & set(large.minival)


@pytest.mark.parametrize("size", [5, 23, 60, 100])
def test_classes_are_as_equal_as_they_can_be(size):
    counts = np.bincount(POOL.labels[split(POOL, spec(size)).train], minlength=5)
    assert counts.max() - counts.min() <= 1


def test_file_order_does_not_matter():
    order = RNG.permutation(300)
    moved = Images(POOL.pixels[order], POOL.labels[order])
    for part in ("train", "minival"):
        here, there = getattr(split(POOL, spec(100)), part), getattr(split(moved, spec(100)), part)
        assert np.array_equal(POOL.pixels[here], moved.pixels[there])


def test_the_manifest_changes_with_the_subset_only():
    assert split(POOL, spec(100)).manifest_sha256() == split(POOL, spec(100)).manifest_sha256()
    assert split(POOL, spec(100)).manifest_sha256() != split(POOL, spec(101)).manifest_sha256()


@pytest.mark.parametrize(("train", "minival"), [(251, 50), (None, 300), (1, 301)])
def test_too_few_images_is_an_error_with_the_numbers(train, minival):
    with pytest.raises(DataError, match=f"data.minival_size {minival} do not fit into the 300 train images"):
        split(POOL, spec(train, minival))


@given(st.lists(st.integers(0, 4), min_size=30, max_size=80), st.integers(1, 25), st.integers(0, 5), st.randoms())
@settings(max_examples=60, deadline=None)
def test_any_labels_in_any_order_give_balanced_subsets_of_the_same_images(labels, size, minival, random):
    """Balance: no class is behind another by more than one image, unless it has no more to give."""
    pixels = RNG.integers(0, 256, (len(labels), 1, 3, 3), dtype=np.uint8)
    images = Images(pixels, np.array(labels))
    chosen = split(images, spec(size, minival))
    counts = np.bincount(images.labels[chosen.train], minlength=5)
    for label, count in enumerate(counts):
        left = (images.labels == label).sum() - (images.labels[chosen.minival] == label).sum() - count
        assert left == 0 or counts.max() - count <= 1
    order = np.array(random.sample(range(len(labels)), len(labels)))
    again = split(images.take(order), spec(size, minival))
    assert np.array_equal(images.pixels[chosen.train], images.pixels[order[again.train]])
    assert np.array_equal(images.pixels[chosen.minival], images.pixels[order[again.minival]])
