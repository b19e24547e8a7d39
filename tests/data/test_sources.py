"""The embedded sets are the originals, and a damaged file is named with both checksums."""

import gzip
import shutil
import struct

import numpy as np
import pytest

from vitstudy.data.sources import EMBEDDED, FASHION_MNIST_SHA256, DataError, _fashion_mnist, load, parse_idx


def idx(shape, content, magic=(0, 8)):
    header = struct.pack(">HBB", *magic, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    return gzip.compress(header + bytes(content))


def test_fashion_mnist_is_whole():
    train, test = load("fashion-mnist")
    assert train.pixels.shape == (60_000, 1, 28, 28)
    assert test.pixels.shape == (10_000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == [6_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
    assert (EMBEDDED / "fashion-mnist" / "LICENSE").is_file()


def test_digits_are_scikit_learns_scaled_to_bytes():
    from sklearn.datasets import load_digits

    train, test = load("digits")
    pixels = np.concatenate([train.pixels, test.pixels])[:, 0]
    assert np.abs(pixels / 255 * 16 - load_digits().images).max() < 0.04
    assert np.concatenate([train.labels, test.labels]).tolist() == load_digits().target.tolist()


def test_a_damaged_or_missing_file_is_named(tmp_path):
    folder = tmp_path / "fashion-mnist"
    shutil.copytree(EMBEDDED / "fashion-mnist", folder)
    name = "t10k-labels-idx1-ubyte.gz"
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match=rf"{name}: SHA-256 is [0-9a-f]{{64}}, expected {FASHION_MNIST_SHA256[name]}"):
        _fashion_mnist(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: file not found"):
        _fashion_mnist(folder)


def test_idx_files_are_read_as_the_format_says():
    assert parse_idx(idx((2, 1, 3), range(6)), "x").tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    with pytest.raises(DataError, match="x: not an IDX file"):
        parse_idx(idx((1,), [0], magic=(0, 9)), "x")
    with pytest.raises(DataError, match=r"x: 5 bytes for shape \(2, 3\)"):
        parse_idx(idx((2, 3), range(5)), "x")


@pytest.mark.parametrize("name", ["nonsense", "imagenet"])
def test_a_set_that_is_not_at_hand_says_which_are(name):
    with pytest.raises(DataError, match=f"data.source '{name}'.*(allowed|usable): fashion-mnist"):
        load(name)
