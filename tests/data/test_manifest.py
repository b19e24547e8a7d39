"""Listings refuse folders that give no labels; manifests are a function of the files; runs read the good files only."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.pictures import RNG, encoded, image_folder, picture
from vitstudy.data import manifest, sources
from vitstudy.data.dataset import open_data, trained_on
from vitstudy.data.images import DataError, Images
from vitstudy.data.listing import list_folder, list_torchvision, manifest_path
from vitstudy.data.overlap import overlap, repeats
from vitstudy.data.subset import split
from vitstudy.study.spec import DataSpec


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("VITSTUDY_DATA", str(tmp_path))
    sources.forget()
    yield tmp_path
    sources.forget()


def checked(root, name, **more):
    """An image folder below the root, with its manifest."""
    base = image_folder(root / name, **more)
    rows = manifest.examine_all(list_folder(name, base), 1)
    manifest.write(manifest_path(root, base), rows)
    return base


def test_images_without_a_class_are_refused_by_name(root):
    base = image_folder(root / "set")
    (base / "train" / "loose.png").write_bytes(encoded(picture()))
    with pytest.raises(DataError, match=r"train/loose\.png: an image without a class \(1 such"):
        list_folder("set", base)


def test_one_class_and_no_class_are_refused(root):
    with pytest.raises(DataError, match=r"one class folder \('cat'\); classification needs at least two"):
        list_folder("set", image_folder(root / "one", classes=("cat",)))
    (root / "none" / "train").mkdir(parents=True)
    (root / "none" / "test").mkdir()
    with pytest.raises(DataError, match="none/train: no class folders"):
        list_folder("set", root / "none")


def test_missing_parts_strange_classes_and_empty_parts_are_refused(root):
    base = image_folder(root / "a")
    (base / "test" / "bird").mkdir()
    with pytest.raises(DataError, match="test/bird: class 'bird' is not among the 2 classes of train/"):
        list_folder("a", base)
    shutil.rmtree(base / "test")
    with pytest.raises(DataError, match="has no test/ or val/"):
        list_folder("a", base)
    with pytest.raises(DataError, match="no image files in its test part"):
        list_folder("b", image_folder(root / "b", test=0))
    with pytest.raises(DataError, match="nowhere: folder not found"):
        list_folder("c", root / "nowhere")


def test_val_is_the_test_part_where_there_is_no_test_and_other_files_are_counted(root):
    base = image_folder(root / "set", second="val")
    (base / "train" / "cat" / "notes.txt").write_text("x")
    (base / "train" / "cat" / ".hidden.png").write_text("x")
    found = list_folder("set", base)
    assert [entry.part for entry in found.files] == ["train"] * 8 + ["test"] * 4
    assert (found.classes, found.ignored) == (("cat", "dog"), 1)


def test_a_manifest_depends_on_the_files_alone(root):
    first = image_folder(root / "first", train=60)
    (first / "train" / "dog" / "bad.jpg").write_bytes(b"")
    (first / "train" / "cat" / 'quote",\n.png').write_bytes(encoded(picture()))
    second = root / "second"
    for path in sorted(first.rglob("*"), reverse=True):  # made in another order
        if path.is_file():
            (second / path.relative_to(first)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, second / path.relative_to(first))
    for name, base, processes in (("a", first, 1), ("b", second, 2)):
        manifest.write(root / name, manifest.examine_all(list_folder("set", base), processes))
    assert (root / "a").read_bytes() == (root / "b").read_bytes()
    rows = manifest.read(root / "a")
    assert rows == manifest.examine_all(list_folder("set", first), 1)
    assert [(row.path, row.note) for row in rows if row.verdict == "bad"] == [
        ("train/dog/bad.jpg", "empty file (0 bytes)")
    ]


def test_the_order_in_which_a_directory_lists_its_files_does_not_matter(root, monkeypatch):
    base, rglob = image_folder(root / "set", train=9), Path.rglob
    listed = []
    for backwards in (False, True):
        monkeypatch.setattr(Path, "rglob", lambda self, what, b=backwards: sorted(rglob(self, what), reverse=b))
        listed.append(list_folder("set", base))
    assert listed[0] == listed[1]


def test_damaged_manifests_are_refused(root):
    (root / "m").write_text("part,path\n")
    with pytest.raises(DataError, match="not a manifest of this version"):
        manifest.read(root / "m")
    (root / "m").write_text(",".join(manifest.Row._fields) + "\ntrain,x\n")
    with pytest.raises(DataError, match="damaged manifest"):
        manifest.read(root / "m")


def test_runs_need_a_manifest_and_read_good_files_only(root):
    base = image_folder(root / "set")
    with pytest.raises(DataError, match="'folder:set' has not been checked yet; run: vitstudy data check folder:set"):
        sources.load("folder:set")
    shutil.rmtree(base)
    base = checked(root, "set")
    bad = base / "train" / "dog" / "1.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    manifest.write(manifest_path(root, base), manifest.examine_all(list_folder("set", base), 1))
    train, test = sources.load("folder:set", 16)
    assert sorted(train.paths) == sorted(
        f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(4) if (c, i) != ("dog", 1)
    )
    assert len(test) == 4
    assert sources.load("folder:set", 16)[0] is train
    assert sources.load("folder:" + str(base), 8)[0].pixels_at(np.arange(2)).shape == (2, 3, 8, 8)


def test_a_class_without_a_good_image_is_named(root):
    base = checked(root, "set", train=1)
    (base / "train" / "dog" / "0.png").write_bytes(b"x")
    rows = manifest.examine_all(list_folder("set", base), 1)
    with pytest.raises(DataError, match="class 'dog' has no good image in its train part"):
        manifest.good_files(rows, base, "train", 8)


def test_subsets_of_files_follow_content_not_names(root):
    base = checked(root, "set", train=10)
    other = root / "other"
    for part in ("train", "test"):
        for group in ("cat", "dog"):
            (other / part / group).mkdir(parents=True)
            for path in (base / part / group).iterdir():
                shutil.copy(path, other / part / group / f"renamed-{9 - int(path.stem)}.png")
    manifest.write(manifest_path(root, other), manifest.examine_all(list_folder("other", other), 1))
    spec = {
        name: DataSpec(source=f"folder:{name}", train_size=7, minival_size=4, image_size=16)
        for name in ("set", "other")
    }
    chosen = {name: trained_on(data) for name, data in spec.items()}
    assert list(chosen["set"].contents()) == list(chosen["other"].contents())
    opened = {name: open_data(data) for name, data in spec.items()}
    assert opened["set"].manifest_sha256 == opened["other"].manifest_sha256
    assert not set(opened["set"].minival.contents()) & set(chosen["set"].contents())
    assert len(opened["set"].train) == 7
    assert opened["set"].manifest_sha256 != open_data(spec["set"].model_copy(update={"train_size": 6})).manifest_sha256
    counts = np.bincount(chosen["set"].labels)
    assert counts.max() - counts.min() <= 1


@given(st.integers(0, 20), st.integers(0, 3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_overlap_counts_the_copies(shared, grey_copies, as_grey):
    rng = np.random.default_rng(shared)
    pixels = rng.integers(0, 256, (50, 1, 9, 9), dtype=np.uint8)
    train = Images(np.repeat(pixels[:20], 1 if as_grey else 3, axis=1), np.zeros(20, np.int64))
    test = Images(pixels[20 - shared : 45], np.arange(25 + shared))  # labels play no part
    assert overlap(train, test) == shared
    assert repeats(test.take(np.r_[np.arange(25), np.arange(grey_copies)])) == grey_copies
    assert overlap(train, Images(pixels[:, :, :8], np.zeros(50, np.int64))) is None


def test_overlap_of_files_with_an_array(root):
    base = checked(root, "set")
    train, test = sources.load("folder:set", 8)  # decoded smaller: compared at their own size all the same
    pixels = np.stack([np.asarray(Image.open(base / path)).transpose(2, 0, 1) for path in train.paths])
    assert overlap(train, Images(pixels[:3], np.zeros(3, np.int64))) == 3
    assert overlap(train, test) == 0
    assert overlap(train, Images(RNG.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8), np.zeros(2, np.int64))) is None


def test_flowers_and_pets_are_read_from_torchvisions_layout(root):
    """Tiny copies of the two layouts; labels and parts against what their own index files say."""
    flowers = root / "flowers-102"
    (flowers / "jpg").mkdir(parents=True)
    for i in range(1, 9):
        (flowers / "jpg" / f"image_{i:05d}.jpg").write_bytes(encoded(picture(), "jpg"))
    scipy.io.savemat(flowers / "imagelabels.mat", {"labels": [[2, 1, 2, 1, 2, 1, 2, 1]]})
    scipy.io.savemat(flowers / "setid.mat", {"trnid": [[1, 2]], "valid": [[5, 6]], "tstid": [[3, 4, 7, 8]]})
    # torchvision also compares the sums of the original index files
    from torchvision.datasets import Flowers102

    original, Flowers102._check_integrity = Flowers102._check_integrity, lambda self: True
    try:
        found = list_torchvision("flowers102", root)
    finally:
        Flowers102._check_integrity = original
    assert [(e.part, e.path, e.label) for e in found.files[:4]] == [
        ("train", f"jpg/image_{i:05d}.jpg", label) for i, label in ((1, 1), (2, 0), (5, 1), (6, 0))
    ]
    assert len(found.files) == 8
    with pytest.raises(DataError, match="flowers-102: not a whole copy of Flowers102 in torchvision's layout"):
        list_torchvision("flowers102", root)

    pets = root / "oxford-iiit-pet"
    (pets / "images").mkdir(parents=True)
    (pets / "annotations").mkdir()
    for part, names in (("trainval", ("Abyssinian_1", "Beagle_2")), ("test", ("Beagle_3",))):
        lines = [f"{name} {1 if name.startswith('A') else 2} 1 1" for name in names]
        (pets / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")
        for name in names:
            (pets / "images" / f"{name}.jpg").write_bytes(encoded(picture(), "jpg"))
    found = list_torchvision("pets", root)
    assert [tuple(entry) for entry in found.files] == [
        ("train", "images/Abyssinian_1.jpg", 0), ("train", "images/Beagle_2.jpg", 1), ("test", "images/Beagle_3.jpg", 1),
    ]  # fmt: skip
    assert sources.state(sources.find("pets")) == "unchecked"


def test_the_facts_of_a_source_are_json_and_agree_with_what_is_loaded():
    for name in ("fashion-mnist", "digits"):
        source, (train, test) = sources.find(name), sources.load(name)
        assert (len(train), len(test)) == (source.train_images, source.test_images)
        assert train.labels.max() + 1 == source.num_classes
        assert train.pixels.shape[1] == source.channels
        assert json.dumps(source.cite)


def test_split_of_the_embedded_set_is_what_it_was():
    """Committed results rest on these images: the manifest of the first 5,000 with 1,000 held out."""
    chosen = split(
        sources.load("fashion-mnist")[0],
        DataSpec(source="fashion-mnist", train_size=5000, minival_size=1000, image_size=28),
    )
    assert chosen.manifest_sha256() == "a766f0978db13f40abb420837c82097d5f36fc23c6761bb576fe6edc1d5338dc"
