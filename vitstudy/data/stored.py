"""Sets that fit into memory, read from the files that hold them whole; every file is checked before it is believed.

Fashion-MNIST (embedded), MNIST and CIFAR-10 have pinned SHA-256 sums; torchvision's own sums (MD5) guard what its layouts
hold. Those of MNIST's and CIFAR-10's files are the original ones: MD5 of the CIFAR-10 batches as public build scripts
for the official archive list them.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.images import DataError, Images

EMBEDDED = Path(__file__).parent / "embedded"
Parts = tuple[Images, Images]
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
CIFAR10_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
DIGITS_SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"
MNIST_FOLDER, CIFAR10_FOLDER = "MNIST/raw", "cifar-10-batches-bin"


def read_checked(path: Path, sha256: str, mend: str) -> bytes:
    """The file's bytes. Raises DataError when it is missing or its SHA-256 differs; `mend` says what helps."""
    if not path.is_file():
        raise DataError(f"{path}: file not found; {mend}")
    content = path.read_bytes()
    check(content, sha256, str(path), f"the file is damaged; {mend}")
    return content


def check(content: bytes, sha256: str, name: str, mend: str = "not the file that was expected") -> None:
    """Raises DataError with both sums when the SHA-256 of `content` differs."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{name}: SHA-256 is {found}, expected {sha256}; {mend}")


def gunzip(content: bytes, name: str) -> bytes:
    """Raises DataError when it is not a whole gzip file."""
    try:
        return zlib.decompress(content, wbits=31)
    except zlib.error as error:
        raise DataError(f"{name}: not a whole gzip file ({error})") from error


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """An IDX file (the MNIST format): magic 0 0 8 ndim, big-endian sizes, bytes."""
    zeros, kind, ndim = struct.unpack_from(">HBB", content)
    if (zeros, kind) != (0, 8):
        raise DataError(f"{name}: not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * ndim)
    if values.size != np.prod(shape):
        raise DataError(f"{name}: {values.size} bytes for shape {shape}")
    return values.reshape(shape)


def _idx_parts(arrays: list[NDArray[np.uint8]]) -> Parts:
    train, train_labels, test, test_labels = arrays
    return Images(train[:, None], train_labels.astype(np.int64)), Images(test[:, None], test_labels.astype(np.int64))


def fashion_mnist(folder: Path = EMBEDDED / "fashion-mnist") -> Parts:
    """The four original files that come with the package."""
    names = [f"{name}.gz" for name in IDX]
    mend = "reinstall vitstudy to restore it"
    contents = [(read_checked(folder / name, FASHION_MNIST_SHA256[name], mend), name) for name in names]
    return _idx_parts([parse_idx(gunzip(content, name), name) for content, name in contents])


def digits() -> Parts:
    """Scikit-learn's copy of the UCI 8 x 8 handwritten digits, scaled to 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = data.target.astype(np.int64)
    check(
        pixels.tobytes() + data.target.astype(np.uint8).tobytes(), DIGITS_SHA256, "scikit-learn's digits", "another set"
    )
    cut = 1297  # ours: the set has no official split; the last 500 images are the test part
    return Images(pixels[:cut], labels[:cut]), Images(pixels[cut:], labels[cut:])


def mnist(root: Path) -> Parts:
    """ROOT/MNIST/raw as torchvision lays it out: the four IDX files, as they are or gzipped."""
    arrays = []
    for name in IDX:
        path, packed = root / MNIST_FOLDER / name, root / MNIST_FOLDER / f"{name}.gz"
        if packed.is_file() and not path.is_file():
            content = gunzip(packed.read_bytes(), str(packed))
            check(content, MNIST_SHA256[name], str(packed), "the file is damaged; run: vitstudy data fetch mnist")
        else:
            content = read_checked(path, MNIST_SHA256[name], "run: vitstudy data fetch mnist")
        arrays.append(parse_idx(content, name))
    return _idx_parts(arrays)


def cifar10(root: Path) -> Parts:
    """ROOT/cifar-10-batches-bin (the official binary layout), or else ROOT/cifar-10-batches-py (torchvision's)."""
    if not (root / CIFAR10_FOLDER).is_dir() and (root / "cifar-10-batches-py").is_dir():
        return cifar_pickles(root, "CIFAR10")
    mend = "run: vitstudy data fetch cifar10"
    batches = [read_checked(root / CIFAR10_FOLDER / name, sha256, mend) for name, sha256 in CIFAR10_SHA256.items()]
    return _cifar_records(b"".join(batches[:-1])), _cifar_records(batches[-1])


def _cifar_records(content: bytes) -> Images:
    """Records of one label byte and 3 x 32 x 32 pixels."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return Images(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64))


def cifar_pickles(root: Path, kind: str) -> Parts:
    """torchvision's CIFAR10 or CIFAR100. Every file's MD5 is checked first: it is a pickle."""
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    for name, md5 in (*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])):
        path = root / dataset.base_folder / name
        if not path.is_file():
            raise DataError(f"{path}: file not found")
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if found != md5:
            raise DataError(f"{path}: MD5 is {found}, expected {md5}; the file is damaged: get it again")
    parts = [dataset(root, train=train, download=False) for train in (True, False)]
    return _arrays(parts[0].data.transpose(0, 3, 1, 2), parts[0].targets), _arrays(
        parts[1].data.transpose(0, 3, 1, 2), parts[1].targets
    )


def svhn(root: Path) -> Parts:
    """torchvision's SVHN (ROOT/train_32x32.mat, test_32x32.mat); it checks their MD5 itself."""
    from torchvision.datasets import SVHN

    try:
        parts = [SVHN(root, split=split, download=False) for split in ("train", "test")]
    except RuntimeError as error:
        raise DataError(f"{root}: train_32x32.mat and test_32x32.mat: {error}") from error
    return _arrays(parts[0].data, parts[0].labels), _arrays(parts[1].data, parts[1].labels)


def _arrays(pixels: NDArray[np.uint8], labels: Any) -> Images:
    return Images(np.ascontiguousarray(pixels), np.asarray(labels, np.int64))
