"""What a file's bytes show: good, converted and said so, or bad and said why; and sets that decode when they are asked."""

import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.pictures import RNG, encoded, image_folder, picture
from vitstudy.data import manifest
from vitstudy.data.dataset import Decoded, Resident
from vitstudy.data.files import BadImage, decode, planes
from vitstudy.data.images import DataError, Images, pixel_hash
from vitstudy.data.listing import list_folder

JPEG = encoded(picture(side=64), "jpg")


def deep_colour_png(values):
    """A 16-bit RGB PNG, written by the format's rules: Pillow cannot write one."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty file"),
        (JPEG[: len(JPEG) // 2], "cannot be decoded: .*truncated"),
        (encoded(picture())[:-60], "cannot be decoded"),
        (b"<html>not found</html>", "no image format"),
        (encoded(picture(side=1)), "too small: 1 x 1 pixels, at least 8 x 8"),
        (encoded(picture(side=7)), "too small: 7 x 7"),
        (encoded(Image.fromarray(np.ones((9, 9), np.float32)), "tif"), "floating-point"),
    ],
    ids=["empty", "truncated-jpeg", "truncated-png", "html", "1x1", "7x7", "float"],
)
def test_a_bad_file_says_why(content, why):
    with pytest.raises(BadImage, match=why):
        decode(content)


def test_plain_rgb_and_grey_need_no_note():
    for mode in ("RGB", "L"):
        image = picture(mode)
        found, notes = decode(encoded(image))
        assert notes == []
        assert np.array_equal(np.asarray(found), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("image", "suffix", "note"),
    [
        (picture("CMYK"), "jpg", "CMYK, converted to RGB"),
        (picture("P"), "png", "palette, converted to RGB"),
        (picture("RGBA"), "png", "RGBA, transparency dropped"),
        (picture("LA"), "png", "LA, transparency dropped"),
        (picture("1"), "png", "1, converted to RGB"),
        (picture("RGB").convert("LAB"), "tif", "LAB, converted to RGB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_colour_spaces_become_rgb_and_are_noted(image, suffix, note):
    found, notes = decode(encoded(image, suffix))
    assert (found.mode, notes) == ("RGB", [note])
    if suffix == "png":
        assert np.array_equal(np.asarray(found), np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_to_eight():
    values = RNG.integers(0, 65536, (9, 9), dtype=np.uint16)
    found, notes = decode(encoded(Image.fromarray(values)))
    assert notes == ["16-bit, scaled to 8-bit"]
    assert np.abs(np.asarray(found)[..., 0] - values / 257).max() <= 0.5
    colours = RNG.integers(0, 65536, (9, 9, 3), dtype=np.uint16)
    found, notes = decode(deep_colour_png(colours))
    assert notes == ["16-bit, scaled to 8-bit"]
    assert np.abs(np.asarray(found) - colours / 257).max() <= 1


def test_exif_rotation_is_not_applied_and_noted_and_damaged_exif_does_no_harm():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture().resize((20, 10))
    found, notes = decode(encoded(image, "jpg", exif=exif.tobytes()))
    assert found.size == (20, 10)
    assert notes == ["EXIF orientation 6 not applied"]
    damaged, _ = decode(encoded(image, "jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x00"))
    assert np.array_equal(np.asarray(damaged), np.asarray(found))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
@settings(max_examples=20, deadline=None)
def test_a_file_and_an_array_of_the_same_pixels_have_one_hash(seed, channels):
    pixels = np.random.default_rng(seed).integers(0, 256, (channels, 9, 12), dtype=np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze()))
    assert (
        pixel_hash(planes(decode(encoded(image))[0])) == Images(pixels[None], np.zeros(1, np.int64)).pixel_hashes()[0]
    )


@pytest.fixture
def files(tmp_path):
    base = image_folder(tmp_path / "set")
    return manifest.good_files(manifest.examine_all(list_folder("set", base), 1), base, "train", 16)


def test_a_set_of_files_is_an_image_set(files):
    assert (len(files), files.labels.tolist()) == (8, [0, 0, 0, 0, 1, 1, 1, 1])
    for i, path in enumerate(files.paths):  # 16 pixels stay 16 pixels
        stored = np.asarray(Image.open(files.base / path)).transpose(2, 0, 1)
        assert np.array_equal(files.pixels_at(np.array([i]))[0], stored)
    few = files.take(np.array([5, 0]))
    assert few.labels.tolist() == [1, 0]
    assert np.array_equal(few.pixels_at(np.arange(2)), files.pixels_at(np.array([5, 0])))
    assert list(few.contents()) == [list(files.contents())[i] for i in (5, 0)]
    assert files.sizes() == {(16, 16)}


def test_decoding_at_once_or_on_demand_gives_the_same_batches(files):
    ids = np.array([7, 2, 4])
    places = torch.tensor([2, 0, 1, 1])
    for kept, made in zip(Resident(files, ids).get(places), Decoded(files, ids).get(places), strict=True):
        assert torch.equal(kept, made)
    assert len(Decoded(files, ids)) == 3


def test_a_file_that_changed_or_went_away_is_named(files):
    first = files.base / files.paths[0]
    first.write_bytes(encoded(picture()))
    with pytest.raises(
        DataError, match=r"train/cat/0\.png: the file has changed since it was checked: run vitstudy data check"
    ):
        files.pixels_at(np.array([0]))
    first.unlink()
    with pytest.raises(DataError, match=r"train/cat/0\.png: No such file"):
        files.pixels_at(np.array([0]))
