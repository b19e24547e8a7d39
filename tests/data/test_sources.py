"""The embedded sets are the originals, and a damaged file is named with both checksums."""

import hashlib
import pickle
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

from vitstudy.data import stored
from vitstudy.data.sources import SOURCES, DataError, data_root, load, state
from vitstudy.data.stored import EMBEDDED, FASHION_MNIST_SHA256, fashion_mnist, parse_idx


def idx(shape, content, magic=(0, 8)):
    header = struct.pack(">HBB", *magic, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    return header + bytes(content)


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
        fashion_mnist(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: file not found"):
        fashion_mnist(folder)


def test_idx_files_are_read_as_the_format_says():
    assert parse_idx(idx((2, 1, 3), range(6)), "x").tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    with pytest.raises(DataError, match="x: not an IDX file"):
        parse_idx(idx((1,), [0], magic=(0, 9)), "x")
    with pytest.raises(DataError, match=r"x: 5 bytes for shape \(2, 3\)"):
        parse_idx(idx((2, 3), range(5)), "x")


def test_an_unknown_name_and_a_set_that_is_not_at_hand_say_what_is(tmp_path, monkeypatch):
    monkeypatch.setenv("VITSTUDY_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"data.source 'nonsense' is unknown; allowed: fashion-mnist, digits, .*folder:PATH"
    ):
        load("nonsense")
    with pytest.raises(
        DataError, match=rf"'imagenet' does not come with vitstudy and is not in {tmp_path}.*usable: fashion-mnist"
    ):
        load("imagenet")
    with pytest.raises(DataError, match=f"{tmp_path}/nothing: folder not found"):
        load("folder:nothing")


def test_cifar_records_are_label_then_planes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    sums = {}
    (tmp_path / stored.CIFAR10_FOLDER).mkdir()
    batches = {name: rng.integers(0, 10, (3, 3073), dtype=np.uint8) for name in stored.CIFAR10_SHA256}
    for name, records in batches.items():
        (tmp_path / stored.CIFAR10_FOLDER / name).write_bytes(records.tobytes())
        sums[name] = hashlib.sha256(records.tobytes()).hexdigest()
    with pytest.raises(DataError, match=r"data_batch_1.bin: SHA-256 is .*run: vitstudy data fetch cifar10"):
        stored.cifar10(tmp_path)
    monkeypatch.setattr(stored, "CIFAR10_SHA256", sums)
    train, test = stored.cifar10(tmp_path)
    assert (len(train), len(test)) == (15, 3)
    last = batches["data_batch_5.bin"][2]
    assert train.labels[14] == last[0]
    assert train.pixels[14, 1, 2, 3] == last[1 + 1024 + 2 * 32 + 3]  # green, row 2, column 3


@pytest.mark.parametrize("kind", ["CIFAR10", "CIFAR100"])
def test_torchvisions_layout_of_cifar_is_checked_file_by_file(tmp_path, monkeypatch, kind):
    from torchvision import datasets

    made = getattr(datasets, kind)
    key = "labels" if kind == "CIFAR10" else "fine_labels"
    (tmp_path / made.base_folder).mkdir()
    rng, sums = np.random.default_rng(0), {}
    for name, _ in (*made.train_list, *made.test_list):
        content = pickle.dumps({"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), key: [3, 7]})
        (tmp_path / made.base_folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({made.meta["key"]: ["a", "b"]})
    (tmp_path / made.base_folder / made.meta["filename"]).write_bytes(meta)
    with pytest.raises(DataError, match=rf"{made.train_list[0][0]}: MD5 is \w{{32}}, expected {made.train_list[0][1]}"):
        stored.cifar_pickles(tmp_path, kind)
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(made, part, [[name, sums[name]] for name, _ in getattr(made, part)])
    monkeypatch.setattr(made, "meta", {**made.meta, "md5": hashlib.md5(meta).hexdigest()})
    train, test = stored.cifar10(tmp_path) if kind == "CIFAR10" else stored.cifar_pickles(tmp_path, kind)
    assert train.pixels.shape == (2 * len(made.train_list), 3, 32, 32)
    assert test.labels.tolist() == [3, 7]
    first = pickle.loads((tmp_path / made.base_folder / made.train_list[0][0]).read_bytes())["data"][0]
    assert np.array_equal(train.pixels[0].reshape(-1), first)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_fetched_sets_are_whole(name):
    """Where they have been fetched (`vitstudy data fetch`): sizes, balance, and published means."""
    if state(SOURCES[name]) != "ready":
        pytest.skip(f"{name} is not in {data_root()}: vitstudy data fetch {name}")
    train, test = load(name)
    means = {"mnist": [0.1307], "cifar10": [0.4914, 0.4822, 0.4465]}[name]
    assert np.allclose(train.pixels.mean((0, 2, 3)) / 255, means, atol=1e-4)
    assert (len(train), len(test)) == (SOURCES[name].train_images, SOURCES[name].test_images)
    if name == "cifar10":
        assert np.bincount(train.labels).tolist() == [5_000] * 10


def test_sources_need_no_torch():
    code = "import sys, vitstudy.data.sources as s; s.find('digits'); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
