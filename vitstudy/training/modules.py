"""The Lightning modules: loss, optimiser, clipping and the keyed randomness of each step; and what differs by family.

`ViTModule`, `BiTModule` and `HybridModule` hold what really differs: what may be chosen about how the network is executed.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitstudy.data.keyed import derive
from vitstudy.data.stream import Batch
from vitstudy.models.factory import Network
from vitstudy.study.spec import Execution, RunSpec
from vitstudy.training.optim import build_optimizer, loss, lr_at


class Diverged(Exception):
    """The loss or the gradient norm became infinite or NaN; the message names the step."""


class ClassifierModule(pl.LightningModule):
    """Trains `net` on batches of a `Stream`. After each step `last` holds what it was: loss, lr, gradient norm."""

    choices: tuple[str, ...] = ()
    """Fields of `Execution` that make a difference to this family's speed, and none to its function."""

    def __init__(self, net: Network, spec: RunSpec) -> None:
        super().__init__()
        self.net, self.spec = net, spec
        self.last: dict[str, Tensor | float] = {}

    def prepare(self, execution: Execution) -> None:
        """Execute the network as `execution` says."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.net, self.spec.optim)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key dropout by (seed, step), and set the learning rate of this step."""
        if batch.step != self.trainer.global_step:
            raise RuntimeError(
                f"batch {batch.step} arrived at step {self.trainer.global_step}: the data stream is out of place"
            )
        torch.manual_seed(derive(self.spec.seed, "step", batch.step))
        lr = lr_at(self.spec.optim, batch.step)
        for group in self.optimizers().param_groups:
            group["lr"] = lr
        self.last["lr"] = lr

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        value = loss(self.net(batch.x).float(), batch.y, self.spec.optim)
        self.last["train/loss"] = value.detach()
        return value

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip at the global norm of the spec; the norm before clipping is kept."""
        limit = self.spec.optim.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), float("inf") if limit is None else limit)
        self.last["train/grad_norm"] = norm

    def check_finite(self) -> None:
        """Raises Diverged when the last step's loss or gradient norm is not finite. Reads the device."""
        for name in ("train/loss", "train/grad_norm"):
            value = float(self.last[name])
            if not torch.isfinite(torch.tensor(value)):
                raise Diverged(f"{name} is {value} at step {self.trainer.global_step} of {self.spec.optim.steps}")


class ViTModule(ClassifierModule):
    """Attention by torch's fused kernel or by plain matrix products."""

    choices: tuple[str, ...] = ("attention",)

    def prepare(self, execution: Execution) -> None:
        super().prepare(execution)
        self.net.set_attention_kernel(execution.attention == "fused")


class BiTModule(ClassifierModule):
    """Feature maps with channels first or last in memory."""

    choices: tuple[str, ...] = ("layout",)

    def prepare(self, execution: Execution) -> None:
        super().prepare(execution)
        self.net.set_layout(execution.layout == "channels-last")


class HybridModule(ViTModule, BiTModule):
    """Both."""

    choices = ("attention", "layout")


MODULES: dict[str, type[ClassifierModule]] = {"vit": ViTModule, "resnet": BiTModule, "hybrid": HybridModule}
"""Family -> its module."""
