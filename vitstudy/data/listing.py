"""Which files a set has, and their classes: folders of class folders, and the file sets of torchvision.

A folder set: train/CLASS/... and test/CLASS/... (or val/ where there is no test/, as ImageNet has it); classes in the
alphabetical order of train's folders. Nothing is opened here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vitstudy.data.images import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
LAYOUT = "a folder with train/CLASS/*.jpg and test/CLASS/*.jpg (or val/CLASS/*.jpg)"
PartName = Literal["train", "test"]


class Entry(NamedTuple):
    """One file: its path relative to the set's folder, with `/`, and its label."""

    part: PartName
    path: str
    label: int


@dataclass(frozen=True)
class Listing:
    """`base`: the set's folder; `files`: sorted by part and path; `ignored`: files that are no images by their suffix."""

    name: str
    base: Path
    classes: tuple[str, ...]
    files: tuple[Entry, ...]
    ignored: int = 0


def manifest_path(root: Path, base: Path) -> Path:
    """Where the manifest of the set in `base` is kept, under whatever name it is asked for: another folder has another."""
    base = base.resolve()
    place = hashlib.sha256(str(base).encode()).hexdigest()[:8]
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in base.name)[-40:].strip("-.")
    return root / "manifests" / f"{plain or 'folder'}-{place}.csv"


def parts_of(base: Path) -> dict[PartName, Path]:
    """The two folders. Raises DataError when one is missing."""
    if not base.is_dir():
        raise DataError(f"{base}: folder not found; an image set is {LAYOUT}")
    test = next((base / name for name in ("test", "val") if (base / name).is_dir()), None)
    if not (base / "train").is_dir() or test is None:
        missing = "train/" if test else "test/ or val/"
        raise DataError(f"{base}: has no {missing}; an image set is {LAYOUT}")
    return {"train": base / "train", "test": test}


def classes_of(base: Path) -> tuple[str, ...]:
    """Names of train's class folders. Raises DataError for images without a class, and for fewer than two classes."""
    train = parts_of(base)["train"]
    _refuse_loose(train)
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if len(classes) < 2:
        found = f"one class folder ('{classes[0]}')" if classes else "no class folders"
        raise DataError(f"{train}: {found}; classification needs at least two")
    return classes


def _refuse_loose(part: Path) -> None:
    loose = sorted(path.name for path in part.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES)
    if loose:
        raise DataError(
            f"{part / loose[0]}: an image without a class ({len(loose)} such in {part}); put it into a folder named after its class"
        )


def list_folder(name: str, base: Path) -> Listing:
    """All image files of a folder set. Raises DataError for a layout that gives no labels."""
    classes = classes_of(base)
    files, ignored = [], 0
    for part, folder in parts_of(base).items():
        _refuse_loose(folder)
        for group in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            if group.name not in classes:
                raise DataError(f"{group}: class '{group.name}' is not among the {len(classes)} classes of train/")
            label = classes.index(group.name)
            for path in (path for path in group.rglob("*") if path.is_file() and not path.name.startswith(".")):
                if path.suffix.lower() in SUFFIXES:
                    files.append(Entry(part, path.relative_to(base).as_posix(), label))
                else:
                    ignored += 1
    return Listing(name, base, classes, _whole(files, base), ignored)


class FileSet(NamedTuple):
    """A set of torchvision that is made of files: its class, its folder, and which of its splits are our two parts."""

    kind: str
    folder: str
    train: tuple[str, ...]
    test: str = "test"


TORCHVISION = {
    "flowers102": FileSet("Flowers102", "flowers-102", ("train", "val")),  # the paper: both, 2,040 images
    "pets": FileSet("OxfordIIITPet", "oxford-iiit-pet", ("trainval",)),
    "food101": FileSet("Food101", "food-101", ("train",)),
    "dtd": FileSet("DTD", "dtd", ("train", "val")),
    "fgvc-aircraft": FileSet("FGVCAircraft", "fgvc-aircraft-2013b", ("trainval",)),
}


def list_torchvision(name: str, root: Path) -> Listing:
    """The files of a torchvision set below `root`, labelled by torchvision. Raises DataError when they are not whole."""
    from torchvision import datasets

    form = TORCHVISION[name]
    base = (root / form.folder).absolute()
    files: list[Entry] = []
    wanted: tuple[tuple[PartName, tuple[str, ...]], ...] = (("train", form.train), ("test", (form.test,)))
    try:
        for part, splits in wanted:
            for split in splits:
                dataset: Any = getattr(datasets, form.kind)(root.absolute(), split=split, download=False)
                paths = dataset._images if hasattr(dataset, "_images") else dataset._image_files
                relative = (Path(path).absolute().relative_to(base).as_posix() for path in paths)
                files += [Entry(part, path, int(label)) for path, label in zip(relative, dataset._labels, strict=True)]
    except (RuntimeError, OSError) as error:
        raise DataError(f"{base}: not a whole copy of {form.kind} in torchvision's layout: {error}") from error
    count = 1 + max(entry.label for entry in files)
    names = tuple(getattr(dataset, "classes", ()) or map(str, range(count)))
    return Listing(name, base, names, _whole(files, base))


def _whole(files: list[Entry], base: Path) -> tuple[Entry, ...]:
    for part in ("train", "test"):
        if not any(entry.part == part for entry in files):
            raise DataError(f"{base}: no image files in its {part} part; suffixes that count: {' '.join(SUFFIXES)}")
    return tuple(sorted(files, key=lambda entry: (entry.part != "train", entry.path)))
