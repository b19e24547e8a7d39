"""`vitstudy data` as a user types it: what is at hand, what is wrong with a folder, and runs that refuse what was not checked."""

import json
import re
import shutil

import pytest

from tests.conftest import vitstudy
from tests.data.pictures import encoded, image_folder, picture


@pytest.fixture
def pets(tmp_path):
    """A folder with one bad file of each part and one CMYK file."""
    base = image_folder(tmp_path / "root" / "mine", train=5, test=3)
    whole = encoded(picture(side=64), "jpg")
    (base / "train" / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (base / "test" / "dog" / "empty.png").write_bytes(b"")
    (base / "train" / "dog" / "print.jpg").write_bytes(encoded(picture("CMYK"), "jpg"))
    shutil.copy(base / "train" / "dog" / "0.png", base / "test" / "dog" / "copy.png")
    return base


def test_list_says_what_is_at_hand_and_how_to_get_the_rest(tmp_path):
    found = json.loads(vitstudy("data", "list", "--json", "--data-root", tmp_path).stdout)
    assert found["root"] == str(tmp_path)
    states = {fact["name"]: fact["state"] for fact in found["sources"]}
    assert states["fashion-mnist"] == states["digits"] == "ready"
    assert set(states.values()) == {"ready", "missing"}
    for fact in found["sources"]:
        assert fact["licence"]
        assert fact["cite"]
        assert fact["get"]
    text = vitstudy("data", "list", VITSTUDY_DATA=str(tmp_path)).stdout
    assert all(name in text for name in states)


def test_check_names_the_bad_files_and_fails_until_they_are_gone(pets):
    root = pets.parent
    done = vitstudy("data", "check", "folder:mine", "--data-root", root, code=70)
    for line in (
        "folder:mine train: 11 good images of 2 classes", f"bad: {pets}/train/cat/cut.jpg: cannot be decoded",
        f"bad: {pets}/test/dog/empty.png: empty file (0 bytes)", "note: 1 x CMYK, converted to RGB, e.g. train/dog/print.jpg",
        "also in train, pixel for pixel: 1", "20 files, 2 bad; runs read the 18 good ones",
    ):  # fmt: skip
        assert line in done.stdout
    (pets / "train" / "cat" / "cut.jpg").unlink()
    (pets / "test" / "dog" / "empty.png").unlink()
    report = json.loads(vitstudy("data", "check", f"folder:{pets}", "--data-root", root, "--json").stdout)
    assert (report["files"], report["bad"], report["test_images_in_train"]) == (18, [], 1)


def test_check_against_another_set(pets):
    root = pets.parent
    (pets / "train" / "cat" / "cut.jpg").unlink()
    (pets / "test" / "dog" / "empty.png").unlink()
    shutil.copytree(pets, root / "twin")
    vitstudy("data", "check", "folder:twin", "--data-root", root)
    done = vitstudy("data", "check", "folder:mine", "--against", "folder:twin", "--data-root", root)
    assert "images of folder:twin test in folder:mine test: 7" in done.stdout
    done = vitstudy("data", "check", "digits", "--against", "folder:twin", "--data-root", root)
    assert "folder:twin train in digits train: not comparable" in done.stdout


def test_a_folder_is_refused_until_it_is_checked_and_then_runs(pets, tmp_path):
    root = pets.parent
    wanted = (
        "run", "posemb", "--scale", "smoke", "--seeds", "1", "--wandb", "off", "--store", tmp_path / "runs", "--to", tmp_path,
        "--set", "data.source=folder:mine", "--set", "data.minival_size=2", "--set", "data.test_size=4",
    )  # fmt: skip
    done = vitstudy(*wanted, code=2, VITSTUDY_DATA=str(root))
    assert "'folder:mine' has not been checked yet; run: vitstudy data check folder:mine" in done.stderr
    vitstudy("data", "check", "folder:mine", code=70, VITSTUDY_DATA=str(root))
    done = vitstudy(*wanted, code=2, VITSTUDY_DATA=str(root))
    assert "model.num_classes 10 differs from the 2 classes of 'folder:mine'" in done.stderr
    done = vitstudy(*wanted, "--set", "model.num_classes=2", code=2, VITSTUDY_DATA=str(root))
    assert "model.in_chans 1 differs from the 3 channels of 'folder:mine': set data.channels=1" in done.stderr
    done = vitstudy(*wanted[:-6], "--set", "data.train_size=60000", code=2, VITSTUDY_DATA=str(root))
    assert re.search(r"need \d+ images, '[a-z-]+' has \d+", done.stderr)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check", "nonsense"], 70, "data.source 'nonsense' is unknown; allowed: fashion-mnist"),
        (["check", "imagenet"], 70, "'imagenet' is not in .*by hand: ROOT/imagenet/train/CLASS"),
        (["check", "folder:nowhere"], 70, "nowhere: folder not found; an image set is a folder with train/CLASS"),
        (["check", "mnist"], 70, "'mnist' does not come with vitstudy.*vitstudy data fetch mnist"),
        (["fetch", "pets"], 70, r"'pets' cannot be fetched by vitstudy.*torchvision.datasets.OxfordIIITPet\(root=ROOT"),
        (["fetch", "digits"], 0, "digits: at hand"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line(tmp_path, words, code, message):
    done = vitstudy("data", *words, "--data-root", tmp_path, code=code)
    assert re.search(message, done.stdout + done.stderr)
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
