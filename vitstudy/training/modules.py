"""The Lightning module that trains a classifier: loss, optimiser, clipping, and the keyed randomness of each step."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitstudy.data.keyed import derive
from vitstudy.data.stream import Batch
from vitstudy.models.vit import VisionTransformer
from vitstudy.study.spec import RunSpec
from vitstudy.training.optim import build_optimizer, loss, lr_at


class Diverged(Exception):
    """The loss or the gradient norm became infinite or NaN; the message names the step."""


class ClassifierModule(pl.LightningModule):
    """Trains `net` on batches of a `Stream`. After each step `last` holds what it was: loss, lr, gradient norm."""

    def __init__(self, net: VisionTransformer, spec: RunSpec) -> None:
        super().__init__()
        self.net, self.spec = net, spec
        self.last: dict[str, Tensor | float] = {}

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
        value = loss(self.net(batch.x).float(), batch.y, self.spec.optim.loss)
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
