"""The typed, frozen description of one run: everything that can change its result, and nothing else.

What must not change a result (device, precision, threads ...) is `Execution`; it is recorded, never hashed.
Sources of the defaults: paper sections 3 and 4.1, Table 3; released code for what the paper leaves open.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from vitstudy.study.models import ModelSpec, Part, TransformerSpec

SPEC_VERSION = 2
"""Part of every identity. Raise it when the meaning of an unchanged spec changes."""

Scale = Literal["smoke", "nano", "mini", "imagenet", "paper"]
Stage = Literal["pretrain", "tune", "finetune"]


class FractalSpec(Part):
    """Labelled images without limit: iterated function systems after Anderson & Farrell (WACV 2022), never stored."""

    classes: int = Field(gt=1)
    instances: int = Field(gt=0, description="training images of each class")
    points: int = Field(2500, gt=99, description="of the chaos game, per image")
    channels: Literal[1, 3] = 3
    seed: int = Field(0, ge=0, description="of the world: which systems the classes are")


class DataSpec(Part):
    """A labelled image set, its subset, and how an image reaches the network."""

    source: str = Field(min_length=1, description="a name that `vitstudy data list` shows, or fractals")
    fractals: FractalSpec | None = None
    train_size: int | None = Field(None, gt=0, description="images of the subset; None: all that minival leaves")
    minival_size: int = Field(ge=0, description="images held out of train for every choice (never the test set)")
    image_size: int = Field(gt=0, description="pixels fed to the network")
    channels: Literal[1, 3] | None = Field(None, description="fed to the network; None: as the images are")
    crop: Literal["none", "pad", "inception"] = "none"
    flip: bool = True
    test_size: int | None = Field(None, gt=0, description="first n of the test set; None: all of it")

    @property
    def train_images(self) -> int | None:
        """Distinct images that are trained on; None: all that minival leaves."""
        return self.train_size if self.fractals is None else self.fractals.classes * self.fractals.instances

    @model_validator(mode="after")
    def _fractals_agree(self) -> Self:
        if (self.source == "fractals") != (self.fractals is not None):
            raise ValueError(f"data.fractals is for source 'fractals', and needed there; source is '{self.source}'")
        if self.fractals is not None and (
            self.train_size is not None or self.test_size is None or not self.minival_size
        ):
            raise ValueError(
                "source 'fractals': classes x instances is the train size; give minival_size and test_size"
            )
        return self


class OptimSpec(Part):
    """AdamW in the paper's sense: decay is decoupled, times lr, on all parameters; SGD for fine-tuning (models.md 2, 3)."""

    algorithm: Literal["adamw", "sgd"] = "adamw"
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="images per step over all devices")
    lr: float = Field(gt=0, description="with transfer.tuning: replaced by the best of the tuning runs")
    weight_decay: float = Field(ge=0)
    decay_mask: Literal["all", "kernels"] = "all"
    betas: tuple[float, float] = Field((0.9, 0.999), description="adamw only")
    eps: float = Field(1e-8, gt=0, description="adamw only")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup_steps: int = Field(ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    end_lr: float = Field(1e-5, ge=0, description="where the linear schedule ends (released code: linear_end)")
    clip_norm: float | None = Field(1.0, gt=0, description="global gradient norm; None: no clipping")
    loss: Literal["softmax", "sigmoid"] = "softmax"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="softmax only")
    head_bias_init: float = 0.0
    early_stopping_every: int | None = Field(
        None,
        gt=0,
        description="steps between looks at minival; the best weights are kept (Figure 4). None: the last step's",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below steps {self.steps}")
        if self.label_smoothing and self.loss != "softmax":
            raise ValueError(f"label_smoothing {self.label_smoothing} needs loss 'softmax', got '{self.loss}'")
        if self.algorithm == "sgd" and self.weight_decay:
            raise ValueError(f"algorithm 'sgd' has no weight decay in the paper (B.1.1), got {self.weight_decay}")
        return self


class EvalSpec(Part):
    """What is measured at the end of a run (few-shot constants: big_vision evaluators/fewshot_lsr.py)."""

    fewshot: tuple[int, ...] = Field((5,), description="shots per class, k; empty: no few-shot evaluation")
    fewshot_sources: tuple[str, ...] = Field(
        (), description="data sets of the few-shot evaluation; empty: the run's own"
    )
    fewshot_draws: int = Field(3, gt=0, description="random draws of the k images, averaged")
    fewshot_l2: float = Field(1024.0, gt=0)
    fewshot_feature: Literal["pre_logits", "encoded"] = "pre_logits"
    probes: tuple[Literal["posemb_similarity"], ...] = Field(
        (), description="arrays kept for figures; see evaluation/probes"
    )
    batch_size: int = Field(
        500, gt=0, description="images evaluated at once, at most (on a CPU: evaluation/accuracy.CPU_BATCH)"
    )


class TransferSpec(Part):
    """Where a fine-tuned network comes from, and how its learning rate is chosen (section 4.1, B.1.1)."""

    parents: tuple[RunSpec, ...] = Field(
        min_length=1, description="pre-training runs; the best on its minival is taken"
    )
    tuning: tuple[RunSpec, ...] = Field(
        (), description="the same transfer with other lr and a minival; the best lr is taken"
    )
    posemb: Literal["interpolate", "reset"] = Field(
        "interpolate", description="position embeddings at a new resolution: 2-D interpolation (3.2), or drawn anew"
    )


class RunSpec(Part):
    """One run: train one model once, evaluate it once."""

    spec_version: int = SPEC_VERSION
    model: ModelSpec
    data: DataSpec
    optim: OptimSpec
    eval: EvalSpec
    seed: int = Field(ge=0)
    transfer: TransferSpec | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.model.image_size != self.data.image_size:
            raise ValueError(
                f"model.image_size {self.model.image_size} differs from data.image_size {self.data.image_size}"
            )
        if self.data.channels not in (None, self.model.in_chans):
            raise ValueError(f"model.in_chans {self.model.in_chans} differs from data.channels {self.data.channels}")
        if self.data.fractals is not None:
            if self.model.num_classes != self.data.fractals.classes:
                raise ValueError(
                    f"model.num_classes {self.model.num_classes} differs from data.fractals.classes {self.data.fractals.classes}"
                )
            if self.eval.fewshot and not self.eval.fewshot_sources:
                raise ValueError("eval.fewshot_sources is needed with source 'fractals': few-shot data are real images")
        if self.optim.early_stopping_every and not self.data.minival_size:
            raise ValueError("optim.early_stopping_every needs a minival: data.minival_size is 0")
        if any(not run.data.minival_size for run in self.candidates):
            raise ValueError("transfer: runs that are chosen among need a minival: data.minival_size is 0")
        if self.stage == "tune" and self.eval.fewshot:
            raise ValueError("eval.fewshot must be empty for a tuning run: it chooses on minival and opens no test set")
        if self.eval.probes and not isinstance(self.model, TransformerSpec):
            raise ValueError(f"eval.probes {self.eval.probes} need a transformer, got family '{self.model.family}'")
        if self.transfer is not None and self.transfer.posemb == "interpolate":
            self._positions_fit(self.transfer.parents)
        return self

    def _positions_fit(self, parents: tuple[RunSpec, ...]) -> None:
        """Relative offsets are raster offsets: on another grid of tokens the same number is another displacement."""
        model = self.model
        for old in (parent.model for parent in parents):
            if not isinstance(model, TransformerSpec) or not isinstance(old, TransformerSpec):
                continue
            if model.posemb == "relative" and model.grid != old.grid:
                raise ValueError(
                    f"transfer.posemb 'interpolate': relative offsets of grid {old.grid} have no meaning on grid "
                    f"{model.grid}; allowed: 'reset', or model.image_size {old.image_size}"
                )

    @property
    def candidates(self) -> tuple[RunSpec, ...]:
        """The runs that a choice on minival is made among."""
        if self.transfer is None:
            return ()
        return (self.transfer.parents if len(self.transfer.parents) > 1 else ()) + self.transfer.tuning

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        """The runs that must be done before this one, parents first."""
        return () if self.transfer is None else self.transfer.parents + self.transfer.tuning

    @property
    def images_seen(self) -> int:
        """In the whole training."""
        return self.optim.steps * self.optim.batch_size

    @property
    def upstream(self) -> RunSpec:
        """The pre-training: the run itself, or the parent (the first of them: parents share model, data and steps)."""
        return self if self.transfer is None else self.transfer.parents[0]

    @property
    def stage(self) -> Stage:
        """pretrain: no parent. tune: a transfer that holds a minival out, to choose by. finetune: one on all of train."""
        if self.transfer is None:
            return "pretrain"
        return "tune" if self.data.minival_size else "finetune"


TransferSpec.model_rebuild()


class Execution(Part):
    """How a run is executed here. Recorded in env.json and shown in tables, never part of the identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    attention: Literal["auto", "fused", "plain"] = "auto"
    layout: Literal["auto", "channels-first", "channels-last"] = "auto"
    threads: int | None = Field(None, gt=0, description="CPU threads; None: all")
    loader_workers: int = Field(0, ge=0)
    checkpoint_every_s: float = Field(30.0, gt=0, description="seconds between checkpoints")
    checkpoint_every_steps: int | None = Field(None, gt=0, description="instead of the clock")
    log_every: int = Field(20, gt=0)
    minival_every: int | None = Field(None, gt=0, description="steps between evaluations on minival; None: at the end")
