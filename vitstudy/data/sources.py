"""The labelled image sets that a spec may name, where they are on this machine, and `load`. Imports no torch.

Embedded: Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747; MIT) and scikit-learn's digits. All others are the user's:
below the data root (`VITSTUDY_DATA`), in the layout of torchvision or as folders of class folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from vitstudy.data import listing, manifest, stored
from vitstudy.data.images import DataError, Images, ImageSet
from vitstudy.data.listing import Listing

__all__ = [
    "SOURCES",
    "DataError",
    "ImageSet",
    "Images",
    "Source",
    "data_root",
    "find",
    "forget",
    "load",
    "require",
    "state",
]

ROOT_VARIABLE = "VITSTUDY_DATA"
State = Literal["ready", "unchecked", "missing"]


def data_root() -> Path:
    """The folder of all data that do not come with the package: VITSTUDY_DATA, or in the user's cache."""
    given = os.environ.get(ROOT_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given).expanduser() if given else cache / "vitstudy" / "data"


@dataclass(frozen=True)
class Source:
    """A data set: its official train and test parts. `at`: what of the data root holds it, any of these; () = embedded.

    Either `read` gives it whole from the root (a set in memory), or `list_files` gives its files, which need a manifest.
    """

    name: str
    num_classes: int
    channels: int
    train_images: int
    test_images: int
    image_size: str
    licence: str
    cite: str
    get: str
    """How one obtains it."""
    at: tuple[str, ...] = ()
    read: Callable[[Path], stored.Parts] | None = None
    list_files: Callable[[Path], Listing] | None = None

    @property
    def origin(self) -> str:
        """`get` in one word."""
        if not self.at:
            return "embedded"
        return "fetch" if self.get.startswith("vitstudy data fetch") else self.get.split("'")[0].split(":")[0]

    def place(self, root: Path) -> Path | None:
        """Where it is; None: not at hand, or embedded."""
        return next((root / path for path in self.at if (root / path).exists()), None)


_TORCHVISION = "torchvision's layout: torchvision.datasets.{}(root=ROOT, download=True)"


def _files(name: str, *facts: int, size: str, licence: str, cite: str) -> Source:
    form = listing.TORCHVISION[name]
    classes, train, test = facts
    return Source(
        name, classes, 3, train, test, size, licence, cite, _TORCHVISION.format(form.kind), (form.folder,),
        list_files=lambda root: listing.list_torchvision(name, root),
    )  # fmt: skip


def _folder(name: str, *facts: int, cite: str) -> Source:
    classes, train, test = facts
    return Source(
        name, classes, 3, train, test, "varies", "terms of access: non-commercial research", cite,
        f"by hand: ROOT/{name}/train/CLASS/*.JPEG and ROOT/{name}/val/CLASS/*.JPEG", (name,),
        list_files=lambda root: listing.list_folder(name, root / name),
    )  # fmt: skip


_KRIZHEVSKY = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"
_SOURCES = (
    Source("fashion-mnist", 10, 1, 60_000, 10_000, "28 x 28", "MIT", "Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747",
           "comes with vitstudy", read=lambda root: stored.fashion_mnist()),
    Source("digits", 10, 1, 1_297, 500, "8 x 8", "BSD (scikit-learn)", "Alpaydin, Kaynak 1998, UCI optical digits",
           "comes with scikit-learn", read=lambda root: stored.digits()),
    Source("mnist", 10, 1, 60_000, 10_000, "28 x 28", "as a rule given as CC BY-SA 3.0", "LeCun, Bottou, Bengio, Haffner 1998",
           "vitstudy data fetch mnist", (stored.MNIST_FOLDER,), read=stored.mnist),
    Source("cifar10", 10, 3, 50_000, 10_000, "32 x 32", "none stated: research use", _KRIZHEVSKY,
           "vitstudy data fetch cifar10", (stored.CIFAR10_FOLDER, "cifar-10-batches-py"), read=stored.cifar10),
    Source("cifar100", 100, 3, 50_000, 10_000, "32 x 32", "none stated: research use", _KRIZHEVSKY,
           _TORCHVISION.format("CIFAR100"), ("cifar-100-python",), read=lambda root: stored.cifar_pickles(root, "CIFAR100")),
    Source("svhn", 10, 3, 73_257, 26_032, "32 x 32", "non-commercial use", "Netzer et al. 2011, Reading Digits in Natural Images",
           _TORCHVISION.format("SVHN"), ("train_32x32.mat",), read=stored.svhn),
    _files("flowers102", 102, 2_040, 6_149, size="varies", licence="none stated: research use", cite="Nilsback, Zisserman 2008"),
    _files("pets", 37, 3_680, 3_669, size="varies", licence="CC BY-SA 4.0", cite="Parkhi, Vedaldi, Zisserman, Jawahar 2012"),
    _files("food101", 101, 75_750, 25_250, size="up to 512", licence="see its terms: research use",
           cite="Bossard, Guillaumin, Van Gool 2014"),
    _files("dtd", 47, 3_760, 1_880, size="varies", licence="research use", cite="Cimpoi et al. 2014"),
    _files("fgvc-aircraft", 100, 6_667, 3_333, size="varies", licence="non-commercial research", cite="Maji et al. 2013"),
    _folder("imagenet", 1_000, 1_281_167, 50_000, cite="Russakovsky et al. 2015, ILSVRC-2012"),
    _folder("imagenet-21k", 21_843, 14_197_122, 50_000, cite="Deng et al. 2009"),
)  # fmt: skip
SOURCES: dict[str, Source] = {source.name: source for source in _SOURCES}


def find(name: str) -> Source:
    """The source of that name, or the image folder of `folder:NAME` (below the root) or `folder:PATH` (absolute, ./ or ~/).

    Raises DataError for an unknown name, or a folder that is not one of class folders.
    """
    if name in SOURCES:
        return SOURCES[name]
    if not name.startswith("folder:") or name == "folder:":
        raise DataError(f"data.source '{name}' is unknown; allowed: {', '.join(SOURCES)}, folder:PATH, fractals")
    given = name.removeprefix("folder:")
    base = Path(given) if given.startswith((".", "~")) else data_root() / given  # an absolute path stays itself
    base = base.expanduser().absolute()
    classes = listing.classes_of(base)
    return Source(
        name, len(classes), 3, 0, 0, "varies", "yours", "yours", listing.LAYOUT, (str(base),),
        list_files=lambda root: listing.list_folder(name, base),
    )  # fmt: skip


def _manifest(source: Source, root: Path) -> Path:
    place = source.place(root)
    return listing.manifest_path(root, place) if place else root / "missing"


def state(source: Source) -> State:
    """ready: a run may read it; unchecked: its files are there, `data check` has to look at them first; missing."""
    root = data_root()
    if not source.at:
        return "ready"
    if source.place(root) is None:
        return "missing"
    return "ready" if source.list_files is None or _manifest(source, root).is_file() else "unchecked"


def require(source: Source) -> None:
    """Raises DataError saying what to do unless a run may read the set."""
    found = state(source)
    if found == "missing":
        usable = ", ".join(name for name, other in SOURCES.items() if state(other) == "ready")
        raise DataError(
            f"data.source '{source.name}' does not come with vitstudy and is not in {data_root()} (VITSTUDY_DATA): its runs can "
            f"be priced (vitstudy plan), not run; to get it: {source.get}; usable: {usable}, folder:PATH"
        )
    if found == "unchecked":
        raise DataError(f"data.source '{source.name}' has not been checked yet; run: vitstudy data check {source.name}")


def load(name: str, size: int = 224) -> tuple[ImageSet, ImageSet]:
    """(train, test) of a source; sets made of files are decoded to `size` x `size` when asked for, the others stay as they are.

    Kept for the next call. Raises DataError for an unknown name or data that are not at hand, not checked, or damaged.
    """
    source = find(name)
    require(source)
    return _load(name, data_root(), size if source.list_files else 0)


@lru_cache(maxsize=4)
def _load(name: str, root: Path, size: int) -> tuple[ImageSet, ImageSet]:
    source = find(name)
    if source.read:
        return source.read(root)
    base = source.place(root)
    assert base is not None  # `require` has looked
    rows = manifest.read(_manifest(source, root))
    return manifest.good_files(rows, base, "train", size), manifest.good_files(rows, base, "test", size)


def forget() -> None:
    """Read everything anew from now on: for whoever has changed a manifest."""
    _load.cache_clear()
