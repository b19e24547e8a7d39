"""How fast a network infers, and the largest batch that fits (Figure 12, section D.5). Weights and images are random.

bf16 means autocast, as in training. The search for the largest batch goes in powers of two, as the paper's did, in a child
process that may run out of memory or die: that is an answer. On the CPU the child's resident memory is held against a limit.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch
from torch import Tensor

from vitstudy.evaluation.memory import peak_memory
from vitstudy.models.factory import construct
from vitstudy.models.vit import VisionTransformer
from vitstudy.study.models import ModelSpec, ViTSpec
from vitstudy.study.spec import Execution

WARM_UP, PASSES = 2, 3
"""Forward passes before the clock starts; the least number that is timed."""
START_S = 600.0
"""A child that has not loaded its libraries by then counts as one that died."""
Fits = Callable[[int], bool]


class Inference:
    """Forward passes of a new network as `execution` says. Raises RuntimeError when memory runs out."""

    def __init__(self, model: ModelSpec, execution: Execution) -> None:
        self.model, self.device = model, execution.device
        self.bf16 = execution.precision == "bf16"
        with torch.device(self.device):
            self.net = construct(model).eval()
        random = torch.Generator(self.device).manual_seed(0)
        with torch.no_grad():
            for (
                parameter
            ) in self.net.parameters():  # neither zeros nor what was in memory: both may run at another speed
                parameter.normal_(std=0.02, generator=random)
        if isinstance(self.net, VisionTransformer):
            self.net.set_attention_kernel(execution.attention == "fused")
        if not isinstance(model, ViTSpec):
            self.net.set_layout(execution.layout == "channels-last")

    def images(self, batch: int) -> Tensor:
        """(batch, c, s, s) random numbers on the device."""
        return torch.randn(batch, self.model.in_chans, *2 * (self.model.image_size,), device=self.device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> None:
        """One pass, waited for."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            self.net(images)
        if self.device == "cuda":
            torch.cuda.synchronize()


def images_per_s(inference: Inference, batch: int, seconds: float) -> float:
    """batch / the median time of a pass, over `seconds` of passes and at least `PASSES`, after `WARM_UP`."""
    images = inference.images(batch)
    for _ in range(WARM_UP):
        inference(images)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < PASSES or time.perf_counter() < end:
        start = time.perf_counter()
        inference(images)
        times.append(time.perf_counter() - start)
    return batch / statistics.median(times)


def fits_memory(model: ModelSpec, execution: Execution, limit: int) -> Fits:
    """Whether weights and a forward pass of a batch take at most `limit` bytes. For a process of its own: peaks stay."""
    if execution.device == "cuda":
        base, total = 0, torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
    else:
        torch.set_num_threads(execution.threads or torch.get_num_threads())
        with suppress(OSError):  # should the machine itself run out, let it end this process and no other
            Path("/proc/self/oom_score_adj").write_text("1000")
        _warm_up(model, execution)
        base = psutil.Process().memory_info().rss
    inference = Inference(model, execution)

    def fits(batch: int) -> bool:
        inference(inference.images(batch))
        return peak_memory(execution.device) - base <= limit

    return fits


def _warm_up(model: ModelSpec, execution: Execution) -> None:
    """Some 30 MB of libraries are loaded and compiled at a first pass: they are no part of a batch."""
    inference = Inference(model, execution)
    inference(inference.images(2))


@dataclass(frozen=True)
class Largest:
    """`batch`: the largest that was seen to fit, 0 for none. `ended`: why the search went no further.

    largest (all that was asked for fits), memory (over the limit), time, stopped, or the words of an error or a death.
    """

    batch: int
    ended: str


def largest_batch(
    load: Callable[[], Fits], largest: int, seconds: float, should_stop: Callable[[], bool] = lambda: False
) -> Largest:
    """The largest power of two up to `largest` that fits. `load` must pickle; it and what it returns run in the child."""
    sizes = [2**power for power in range(largest.bit_length())]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is loaded once, not in every child
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_search, args=(theirs, load, sizes), daemon=True)
    child.start()
    theirs.close()
    best, end = 0, time.monotonic() + START_S
    try:
        while time.monotonic() < end:
            if should_stop():
                return Largest(best, "stopped")
            if not ours.poll(0.1):
                continue
            found: int | str = ours.recv()
            if isinstance(found, str):
                return Largest(best, found)
            end = end if best or found else time.monotonic() + seconds  # the first word: loaded
            best = found
        return Largest(best, "time")
    except EOFError:
        child.join()
        return Largest(best, f"the process died with code {child.exitcode}")
    finally:
        child.kill()
        child.join()
        ours.close()


def _search(pipe: Connection, load: Callable[[], Fits], sizes: Sequence[int]) -> None:
    """In the child: send 0 when loaded, then each size that fits, then why there are no more."""
    fits = load()
    pipe.send(0)
    for size in sizes:
        try:
            if not fits(size):
                return pipe.send("memory")
        except (MemoryError, RuntimeError) as error:  # torch's out-of-memory, and kernels that take no batch so large
            return pipe.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        pipe.send(size)
    return pipe.send("largest")
