"""Fractal images: a pure function of (seed, class, instance), contractive, never empty or full, and learnable."""

import colorsys
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier

from vitstudy.data.fractal_pixels import chaos_game, jitter, paint_rgb
from vitstudy.data.fractal_systems import CHOICES, systems
from vitstudy.data.fractals import HELD_OUT, TEST, held_out, labels_of, render, train_images
from vitstudy.data.keyed import derive
from vitstudy.data.sources import DataError
from vitstudy.data.splitmix import bits, uniform
from vitstudy.study.spec import FractalSpec

SPEC = FractalSpec(classes=7, instances=1000, points=500, seed=3)
GREY = SPEC.model_copy(update={"channels": 1})
CLASSES = np.array([6, 0, 3, 3, 5])
INSTANCES = np.array([0, 999, HELD_OUT + 5, TEST + 5, 2**40 + 1])


def singular_values(maps):
    """(..., 4, 2) of rows a b e c d f, by LAPACK."""
    return np.linalg.svd(maps[..., [0, 1, 3, 4]].reshape(*maps.shape[:-1], 2, 2), compute_uv=False)


def test_splitmix_gives_the_published_sequence():
    """Seed 1234567 (the reference implementation's published first values)."""
    state = np.array([1234567], np.uint64)
    assert [int(bits(state)) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


# ---- a pure function


@pytest.mark.parametrize("spec", [SPEC, GREY])
def test_order_company_and_threads_change_no_pixel(spec):
    together = render(spec, 24, CLASSES, INSTANCES)
    assert np.array_equal(render(spec, 24, CLASSES[::-1], INSTANCES[::-1]), together[::-1])
    with ThreadPoolExecutor(5) as pool:
        alone = list(pool.map(lambda i: render(spec, 24, CLASSES[i : i + 1], INSTANCES[i : i + 1])[0], range(5)))
    assert np.array_equal(np.stack(alone), together)


def test_another_process_without_the_compiler_draws_the_same_pixels(tmp_path):
    """Plain Python does IEEE arithmetic in the order written: the compiled code must neither reorder, fuse nor widen."""
    program = f"""
import numpy as np
from vitstudy.data.fractals import render
from vitstudy.study.spec import FractalSpec
np.seterr(over="ignore")
for channels in (1, 3):
    spec = FractalSpec(classes=7, instances=1000, points=500, seed=3, channels=channels)
    np.save(f"{{channels}}.npy", render(spec, 24, np.array({CLASSES.tolist()}), np.array({INSTANCES.tolist()})))
"""
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert np.array_equal(np.load(tmp_path / "1.npy"), render(GREY, 24, CLASSES, INSTANCES))
    assert np.array_equal(np.load(tmp_path / "3.npy"), render(SPEC, 24, CLASSES, INSTANCES))


def test_compiled_orbits_have_the_bits_of_plain_python():
    """Stricter than pixels, which hide a last bit: with fastmath this fails."""
    world, paths = systems(0, 1), np.zeros((2, 2, 2008))
    for game, path in zip((chaos_game, chaos_game.py_func), paths, strict=True):
        game(world.maps[0], world.choice[0], 2000, np.array([1], np.uint64), path)
    assert np.array_equal(*paths)


def test_every_part_of_the_key_matters():
    one = render(SPEC, 24, np.array([3]), np.array([8]))
    other_world = SPEC.model_copy(update={"seed": 4})
    assert not np.array_equal(one, render(other_world, 24, np.array([3]), np.array([8])))
    assert not np.array_equal(one, render(SPEC, 24, np.array([4]), np.array([8])))
    assert not np.array_equal(one, render(SPEC, 24, np.array([3]), np.array([8 + 2**32])))


def test_more_classes_leave_the_first_as_they_are():
    more = SPEC.model_copy(update={"classes": 50})
    assert np.array_equal(render(more, 24, CLASSES, INSTANCES), render(SPEC, 24, CLASSES, INSTANCES))


def test_a_class_outside_of_the_world_is_refused():
    with pytest.raises(ValueError, match="classes 0 to 7 of a world of 7"):
        render(SPEC, 24, np.array([0, 7]), np.array([0, 0]))


# ---- systems


def test_every_map_contracts_and_the_sigma_factor_rule_holds():
    world = systems(0, 4000)
    sigma = singular_values(world.maps)
    used = np.arange(4) < world.count[:, None]
    assert sigma.max() < 1
    assert sigma[used].min() > 0
    place = 2 * (
        (sigma[..., 0] + 2 * sigma[..., 1]).sum(1) - (5 + world.count) / 2
    )  # of [0, 1] in the allowed interval
    assert place.min() > -1e-4
    assert place.max() < 1 + 1e-4
    assert abs(place.mean() - 0.5) < 5 * 0.289 / 4000**0.5
    assert (np.abs(np.bincount(world.count, minlength=5)[2:] - 4000 / 3) < 5 * 30).all()  # 2, 3 and 4 maps alike
    assert np.abs(world.maps[..., [2, 5]]).max() <= 1


def test_maps_are_chosen_in_proportion_to_their_area():
    world = systems(0, 500)
    area = singular_values(world.maps).prod(-1)
    chosen = np.stack([(world.choice == k).sum(1) for k in range(4)], 1) / CHOICES
    assert np.abs(chosen - area / area.sum(1, keepdims=True)).max() <= 1.01 / CHOICES


def test_jitter_scales_one_map_and_never_to_an_expansion():
    world = systems(1, 2000)
    before, after = singular_values(world.maps), np.empty((2000, 4, 2))
    own = np.zeros((4, 6))
    for i in range(2000):
        jitter(world.maps[i], world.count[i], np.array([derive(1, "test", i)], np.uint64), own)
        after[i] = singular_values(own)
        assert np.array_equal(own[: world.count[i], [2, 5]], world.maps[i, : world.count[i]][:, [2, 5]])
        after[i, world.count[i] :] = 0
    assert after.max() < 1
    factor = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    changed = np.abs(factor[..., 0] - 1) > 1e-9
    assert (changed.sum(1) <= 1).all()
    assert changed.sum() > 1950
    assert factor.max() <= 1.1 + 1e-6
    assert factor.min() >= 0.8 - 1e-6
    assert factor.max() > 1.09
    assert np.allclose(factor[..., 0], factor[..., 1], atol=1e-6)  # the whole map, not one axis


# ---- images


def fractal_share(spec, size, count, first=0):
    """Share of each image's pixels that are fractal, by drawing it in grey: there, exactly those reach 0.4 of white."""
    numbers = np.arange(first, first + count)
    grey = spec.model_copy(update={"channels": 1})
    return (render(grey, size, numbers % spec.classes, numbers // spec.classes) >= 102).mean((1, 2, 3))


@pytest.mark.parametrize("size", [20, 28, 32, 64])
def test_no_image_is_empty_or_full(size):
    spec = FractalSpec(classes=1000, instances=5, seed=1)
    share = fractal_share(spec, size, 5000)
    assert (share * size * size).min() >= 5
    assert share.max() < 0.95
    assert 0.05 < np.median(share) < 0.5
    x = render(spec, size, np.arange(1000), np.arange(1000) % 5).reshape(1000, 3, -1).astype(float)
    assert x.std((1, 2)).min() > 5  # colour images have contrast too


def test_colour_images_are_coloured_and_favour_no_colour():
    spec = FractalSpec(classes=20, instances=50, seed=2)
    rgb = render(spec, 32, np.arange(1000) % 20, np.arange(1000) // 20)
    assert (rgb.max(1) != rgb.min(1)).mean() > 0.9
    assert np.abs(rgb.mean((0, 2, 3)) / rgb.mean() - 1).max() < 0.1


@pytest.mark.parametrize(
    ("hue", "rgb"), [(0.0, (1, 0, 0)), (1 / 6, (1, 1, 0)), (1 / 3, (0, 1, 0)), (0.75, (0.5, 0, 1))]
)
def test_hues_are_those_of_the_colour_circle(hue, rgb):
    """Against colorsys, with the random shift, saturation and value that the state gives."""
    state = np.array([5], np.uint64)
    mirror = state.copy()
    shift, saturation, value = uniform(mirror, 0.0, 1.0), uniform(mirror, 0.3, 1.0), uniform(mirror, 0.5, 1.0)
    assert np.allclose(colorsys.hsv_to_rgb(hue, 1, 1), rgb)
    out = np.zeros((3, 1, 1), np.uint8)
    paint_rgb(np.ones((1, 1), np.int32), np.array([0.0, hue]), 1.0, state, out)
    expected = np.array(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)) * 255
    assert np.abs(out.ravel() - expected).max() <= 1


def test_train_minival_and_test_share_no_image():
    spec = FractalSpec(classes=5, instances=200, points=300)
    train = train_images(spec, 20, np.arange(1000))
    parts = [train, held_out(spec, 20, 300, HELD_OUT).pixels, held_out(spec, 20, 300, TEST).pixels]
    assert len({image.tobytes() for part in parts for image in part}) == 1600
    too_many = spec.model_copy(update={"instances": HELD_OUT + 1})
    with pytest.raises(DataError, match=r"data\.fractals\.instances 1073741825"):
        held_out(too_many, 20, 10, HELD_OUT)


def test_every_prefix_is_balanced():
    labels = labels_of(SPEC, np.arange(7000))
    for size in (7, 100, 701, 7000):
        counts = np.bincount(labels[:size], minlength=7)
        assert counts.max() - counts.min() <= 1


def test_a_linear_model_on_few_components_beats_chance_clearly():
    spec = FractalSpec(classes=10, instances=300, channels=1)
    train, test = train_images(spec, 20, np.arange(3000)), held_out(spec, 20, 500, TEST)
    components = PCA(60, random_state=0).fit(train.reshape(3000, -1) / 255.0)
    model = RidgeClassifier(alpha=1.0)
    model.fit(components.transform(train.reshape(3000, -1) / 255.0), labels_of(spec, np.arange(3000)))
    found = model.score(components.transform(test.pixels.reshape(500, -1) / 255.0), test.labels)
    assert found > 0.2  # chance 0.1, its standard deviation 0.013
