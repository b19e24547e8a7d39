"""Fractals as training images: kept, drawn ahead or drawn by threads, a batch has the same bits."""

import multiprocessing
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vitstudy.data import rendered
from vitstudy.data.dataset import open_data
from vitstudy.data.fractals import labels_of, train_images
from vitstudy.data.rendered import KEEP_BYTES, Rendered
from vitstudy.data.stream import Stream, StreamDataset
from vitstudy.study.spec import DataSpec, FractalSpec

FRACTALS = FractalSpec(classes=6, instances=50, points=300, channels=1)
SPEC = DataSpec(source="fractals", fractals=FRACTALS, minival_size=6, test_size=6, image_size=20, crop="pad")
ELSEWHERE = "cpu:0"
"""The CPU under another name: for `Rendered` a device beside the CPU, as an accelerator is."""


def batches(pool, start=0, stop=12, workers=0):
    stream = Stream(pool, SPEC, 70, seed=1)  # 300 images: epochs end within batches
    return list(DataLoader(StreamDataset(stream, start, stop), batch_size=None, num_workers=workers))


@pytest.fixture(scope="module")
def plain():
    """Each image drawn alone, when it is asked for."""
    pool = Rendered(FRACTALS, 20, images_seen=1)
    assert pool._kept is None
    return batches(pool)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def assert_same(found, expected):
    assert [batch.step for batch in found] == [batch.step for batch in expected]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.ids, other.ids)


@pytest.mark.parametrize("images_seen", [1, None])
@pytest.mark.parametrize("device", ["cpu", ELSEWHERE])
def test_kept_and_drawn_ahead_batches_are_the_same_bits(plain, device, images_seen):
    assert_same(batches(Rendered(FRACTALS, 20, device, images_seen)), plain)


@pytest.mark.parametrize("device", ["cpu", ELSEWHERE])
def test_threads_change_nothing(plain, three_threads, device):
    assert_same(batches(Rendered(FRACTALS, 20, device, images_seen=1)), plain)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_starting_point_change_nothing(plain, three_threads, workers):
    pool = Rendered(FRACTALS, 20)
    batches(pool, 0, 2)  # threads exist in this process, and part of the images is kept, when the workers are forked
    assert_same(batches(pool, 4, 12, workers), plain[4:])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_draws_with_threads_of_its_own(three_threads):
    pool = Rendered(FRACTALS, 20, images_seen=1)
    pool.get(torch.arange(100))
    child = multiprocessing.get_context("fork").Process(target=pool.get, args=(torch.arange(100),))
    child.start()
    child.join(20)
    ended = child.exitcode
    child.kill()
    assert ended == 0


def test_pixels_labels_and_numbers_belong_together():
    places = torch.tensor([299, 0, 7, 7])
    for images_seen in (1, None):
        pixels, labels, ids = Rendered(FRACTALS, 20, images_seen=images_seen).get(places)
        assert torch.equal(ids, places)
        assert np.array_equal(labels, labels_of(FRACTALS, places.numpy()))
        assert np.array_equal(pixels, train_images(FRACTALS, 20, places.numpy()))


def test_no_image_of_a_kept_set_is_drawn_twice(monkeypatch):
    drawn = []

    def counting(spec, size, ids):
        drawn.extend(ids.tolist())
        return train_images(spec, size, ids)

    monkeypatch.setattr(rendered, "train_images", counting)
    for device in ("cpu", ELSEWHERE):
        drawn.clear()
        batches(Rendered(FRACTALS, 20, device), 0, 13)  # three epochs
        assert sorted(drawn) == list(range(300))


def test_with_an_accelerator_the_next_batch_is_under_way_and_used():
    pool = Rendered(FRACTALS, 20, ELSEWHERE, images_seen=1)
    pool.expect(torch.arange(40))
    begun = pool._next
    assert begun is not None
    pixels = pool.get(torch.arange(40))[0]
    assert all(part.done() for part in begun[1])
    assert np.array_equal(pixels, train_images(FRACTALS, 20, np.arange(40)))
    pool.expect(torch.arange(40))
    other = pool.get(torch.arange(40, 60))[0]  # what was expected is not what is asked for
    assert np.array_equal(other, train_images(FRACTALS, 20, np.arange(40, 60)))


def test_ten_million_images_take_no_more_memory_than_a_batch():
    large = FractalSpec(classes=100, instances=100_000)
    spec = DataSpec(source="fractals", fractals=large, minival_size=10, test_size=10, image_size=32)
    open_data(spec)  # the systems of the 100 classes are drawn
    tracemalloc.start()
    pool = open_data(spec, images_seen=10**9).train
    places = torch.from_numpy(np.linspace(0, 10**7 - 1, 64).astype(np.int64))
    pixels = pool.get(places)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pool) == 10**7
    assert isinstance(pool, Rendered)
    assert pool._kept is None
    assert KEEP_BYTES < 10**7 * 3 * 32 * 32
    assert peak < 3 * pixels.numel() + 100_000


def test_a_set_that_is_seen_once_is_not_kept():
    assert Rendered(FRACTALS, 20, images_seen=300)._kept is None
    assert Rendered(FRACTALS, 20, images_seen=301)._kept is not None


def test_it_works_where_no_folder_takes_compiled_code(tmp_path):
    """Installed read-only, without a writable home: numba's folders are made impossible, drawing still works."""
    program = (
        "from numba.core.caching import CacheImpl\n"
        "CacheImpl._locator_classes = []\n"
        "from vitstudy.data.splitmix import bits, compiled\n"
        "import numpy as np\n"
        "print(bits(np.array([1234567], np.uint64)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "6457827717110365317", done.stderr


def test_stored_images_do_not_load_the_compiler():
    program = (
        "import sys\nfrom vitstudy.data.dataset import open_data\nfrom vitstudy.data.stream import Stream\n"
        "print('numba' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
