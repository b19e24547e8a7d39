"""`make bench`: the harness against a bare loop, start-up, table loading, memory. Prints figures; asserts nothing.

The ratio is measured in one process, the two loops taking turns, because machines are noisy.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from experiments import STUDIES
from experiments.data_scale import SETTINGS
from experiments.families import FAMILIES
from experiments.recipes import pretrain
from vitstudy.data.dataset import open_data
from vitstudy.data.fractals import train_images
from vitstudy.data.keyed import generator
from vitstudy.data.stream import Stream
from vitstudy.models.factory import Network, build
from vitstudy.models.vit import PatchConv2d
from vitstudy.runs.launch import ALLOCATOR
from vitstudy.runs.store import Store
from vitstudy.study.cost import activation_bytes
from vitstudy.study.grid import apply
from vitstudy.study.identity import run_id
from vitstudy.study.models import ModelSpec
from vitstudy.study.spec import Execution, FractalSpec, RunSpec
from vitstudy.training.autotune import fastest, measure
from vitstudy.training.modules import MODULES
from vitstudy.training.optim import build_optimizer, loss, lr_at
from vitstudy.training.trainer import train

STEPS, ROUNDS = 40, 5
MODELS = FAMILIES["nano"].named("ViT-n/4", "R14-n", "R8+ViT-n/4")


def main() -> None:
    torch.set_num_threads(1)
    _generation()
    for model in MODELS:
        _overhead(_spec(model))
    _patches()
    _allocator()
    _memory()
    _start_up()


def _spec(model: ModelSpec) -> RunSpec:
    """A pre-training run of the study data_scale at nano, shortened, without looks at minival."""
    setting = SETTINGS["nano"]
    optim = setting.optim.model_copy(update={"steps": STEPS, "warmup_steps": 10, "early_stopping_every": None})
    return pretrain(model, setting.subsets[-1], optim, setting.evaluation, 0)


def _generation() -> None:
    """Fractals: images/s on one core, best of five."""
    for channels, size in ((3, 32), (1, 28), (1, 20)):
        spec, ids = FractalSpec(classes=100, instances=100, channels=channels), np.arange(1000)
        train_images(spec, size, ids)
        seconds = min(_timed(lambda spec=spec, size=size, ids=ids: train_images(spec, size, ids)) for _ in range(5))
        print(f"fractals       {size} px, {channels} channels, {spec.points:,} points: {1000 / seconds:,.0f} images/s")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _overhead(spec: RunSpec) -> None:
    found = measure(spec, Execution(device="cpu", threads=1), seconds=1)
    choice = fastest(found)
    words = ", ".join(f"{'/'.join(row.values())} {speed:,.0f}" for row, speed in found)
    print(f"autotune       {spec.model.name}: {words} images/s")
    execution = Execution(device="cpu", threads=1, checkpoint_every_steps=10**9, **choice)
    stream = Stream(open_data(spec.data).train, spec.data, spec.optim.batch_size, seed=0)
    images, ratios = spec.images_seen, []
    for _ in range(ROUNDS):
        bare, harness = images / _bare_loop(spec, stream, execution), images / _harness(spec, stream, execution)
        ratios.append(harness / bare)
        print(
            f"training       {spec.model.name}: bare loop {bare:,.0f}, harness {harness:,.0f} images/s, {ratios[-1]:.3f}"
        )
    print(f"training       {spec.model.name}: median ratio {statistics.median(ratios):.3f} of {ROUNDS} (goal: 0.95)")


def _network(spec: RunSpec) -> Network:
    return build(spec.model, lambda name: generator(0, name))


def _bare_loop(spec: RunSpec, stream: Stream, execution: Execution) -> float:
    """Seconds of training in plain PyTorch: the same network, batches, precision, kernel, clipping and optimiser."""
    net = _network(spec)
    MODULES[spec.model.family](net, spec).prepare(execution)
    optimizer = build_optimizer(net, spec.optim)
    start = time.perf_counter()
    for step in range(STEPS):
        batch = stream.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = lr_at(spec.optim, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=execution.precision == "bf16"):
            value = loss(net(batch.x).float(), batch.y, spec.optim)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), spec.optim.clip_norm)
        optimizer.step()
    return time.perf_counter() - start


def _harness(spec: RunSpec, stream: Stream, execution: Execution) -> float:
    """Seconds of training as a run does it, with log, progress and stop checks; the last checkpoint is outside the clock."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "checkpoints").mkdir()
        outcome = train(
            _network(spec), stream, spec, execution, Path(directory),
            minival=None, progress=lambda *_: None, should_stop=lambda: False,
        )  # fmt: skip
    return outcome.train_seconds


def _patches() -> None:
    """Patches by the network's matrix product and by a convolution, forward and backward, batch 50; best of 30, taking turns."""
    for size, patch, width in ((28, 7, 64), (28, 4, 64), (28, 4, 128)):
        images, best = torch.randn(50, 1, size, size), {}
        layers = {kind.__name__: kind(1, width, patch, patch) for kind in (nn.Conv2d, PatchConv2d)}
        for _ in range(30):
            for name, layer in layers.items():
                seconds = _timed(lambda layer=layer, images=images: layer(images).sum().backward())
                best[name] = min(seconds, best.get(name, seconds))
        words = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in best.items())
        print(
            f"patches        {size} px, /{patch}, width {width}: {words}, {best['Conv2d'] / best['PatchConv2d']:.1f} x"
        )


def _allocator() -> None:
    """Runs of posemb in a process of its own, with and without the launcher's allocator settings, taking turns."""
    rates: dict[str, list[float]] = {"default": [], "ours": []}
    for _ in range(ROUNDS):
        for name, found in rates.items():
            setting = {"GLIBC_TUNABLES": ALLOCATOR if name == "ours" else ""}
            costs = _nano_costs("posemb", STUDIES["posemb"].runs("nano")[:1], steps=150, environment=setting)
            found.append(costs[0]["images_per_s"])
    ratio = statistics.median(ours / default for ours, default in zip(rates["ours"], rates["default"], strict=True))
    print(f"allocator      median ratio of images/s, ours to default: {ratio:.3f} of {ROUNDS}")


def _memory() -> None:
    """One process for each: eight runs of posemb after another, and the run of shape with the largest activations."""
    shapes = STUDIES["shape"].runs("nano")
    largest = max(shapes, key=lambda spec: activation_bytes(spec.model))
    for study, specs in (("posemb", STUDIES["posemb"].runs("nano")[:8]), ("shape", (largest,))):
        costs = _nano_costs(study, specs, steps=21, environment={"GLIBC_TUNABLES": ALLOCATOR})
        peak = max(cost["peak_memory_bytes"] for cost in costs)
        print(f"memory         {study}: peak of {len(costs)} nano runs in one process {peak / 1e9:.2f} GB (goal: 1.5)")


def _nano_costs(
    study: str, specs: Sequence[RunSpec], steps: int, environment: dict[str, str]
) -> list[dict[str, float]]:
    """What runs of a study at nano, shortened, cost in one worker."""
    changes = {"optim.steps": steps, "optim.warmup_steps": 10}
    grid = [
        "--only",
        ",".join(run_id(apply(spec, changes)) for spec in specs),
        *(word for name, value in changes.items() for word in ("--set", f"{name}={value}")),
    ]
    with tempfile.TemporaryDirectory() as directory:
        words = ["worker", study, "--scale", "nano", "--store", directory, "--threads", "1", *grid]
        subprocess.run([sys.executable, "-m", "vitstudy", *words], env={**os.environ, **environment}, check=True)
        return [json.loads(path.read_text())["cost"] for path in Path(directory).glob("*/result.json")]


def _start_up() -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory))
        for count, verbs in ((1_000, ("--help", "list", "status")), (10_000, ("results",))):
            cells = STUDIES["posemb"].runs("nano")[:8]
            specs = [apply(cell, {"seed": seed}) for seed in range(count // 8) for cell in cells]
            for spec in specs:
                _finished(store, spec)
            for verb in verbs:
                at = ["--store", directory, "--seeds", str(count // 8)]
                words = {"status": ["status", "posemb", *at], "results": ["results", "posemb", *at, "--json"]}
                seconds = [_seconds(words.get(verb, [verb])) for _ in range(3)]
                print(
                    f"start-up       {verb:<8} with {count:,} finished runs: {min(seconds):.2f} s, {max(seconds):.2f} s at worst"
                )


def _seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vitstudy", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _finished(store: Store, spec: RunSpec) -> None:
    """Invented numbers: only the time to read them is looked at."""
    path = store.path(spec)
    path.mkdir(parents=True, exist_ok=True)
    value = int(run_id(spec), 16) / 16**10
    metrics = {"test/acc": value, "minival/acc": value, "fewshot/5": value, "train/loss": value}
    cost = dict.fromkeys(
        ("params", "forward_flops", "train_flops", "train_seconds", "images_per_s", "peak_memory_bytes"), 1
    )
    execution = {
        "device": "cpu",
        "precision": "fp32",
        "attention": "plain",
        "threads": 1,
        "device_name": "x",
        "torch": "x",
    }
    facts = {"run_id": run_id(spec), "metrics": metrics, "cost": cost, "execution": execution}
    (path / "result.json").write_text(json.dumps(facts))
    (path / "status.json").write_text('{"state": "done"}')


if __name__ == "__main__":
    main()
