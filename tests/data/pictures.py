"""Makes folders of small pictures, good ones and odd ones, for the tests of real data."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def picture(mode: str = "RGB", side: int = 16) -> Image.Image:
    """Noise, so that no two pictures are the same."""
    return Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)).convert(mode)


def encoded(image: Image.Image, suffix: str = "png", **options: object) -> bytes:
    """The bytes of an image file."""
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def image_folder(
    base: Path, train: int = 4, test: int = 2, classes: tuple[str, ...] = ("cat", "dog"), second: str = "test"
) -> Path:
    """BASE/train/CLASS/i.png and BASE/test/CLASS/i.png."""
    for part, count in (("train", train), (second, test)):
        for name in classes:
            (base / part / name).mkdir(parents=True)
            for i in range(count):
                (base / part / name / f"{i}.png").write_bytes(encoded(picture()))
    return base
