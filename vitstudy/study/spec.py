"""The typed, frozen description of one run: everything that can change its result, and nothing else.

What must not change a result (device, precision, threads ...) is `Execution`; it is recorded, never hashed.
Sources of the defaults: paper sections 3 and 4.1, Table 3; released code for what the paper leaves open.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SPEC_VERSION = 1
"""Part of every identity. Raise it when the meaning of an unchanged spec changes."""

PosembKind = Literal["none", "1d", "2d", "relative"]
PosembPlace = Literal["stem", "every-layer", "every-layer-shared"]
Scale = Literal["smoke", "nano", "mini", "imagenet", "paper"]


class Part(BaseModel):
    """Base of all specs: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpec(Part):
    """A Vision Transformer (paper section 3.1, Table 1; position embeddings: section D.4)."""

    family: Literal["vit"] = "vit"
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9+/_.-]+$", description="as in the paper, e.g. ViT-B/16")
    image_size: int = Field(gt=0, description="pixels, square")
    in_chans: int = Field(gt=0)
    num_classes: int = Field(gt=1)
    patch_size: int = Field(gt=0, description="pixels, square")
    hidden_dim: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    mlp_dim: int = Field(gt=0)
    posemb: PosembKind = "1d"
    posemb_at: PosembPlace = "stem"
    pool: Literal["cls", "gap"] = "cls"
    prelogits: bool = Field(True, description="pre-training head of D.3: hidden layer of width D with tanh")
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        if self.posemb == "2d" and self.hidden_dim % 2:
            raise ValueError(f"posemb '2d' needs an even hidden_dim, got {self.hidden_dim}")
        if self.posemb in ("none", "relative") and self.posemb_at != "stem":
            raise ValueError(f"posemb '{self.posemb}' has no table to add; posemb_at must be 'stem' (Table 8: N/A)")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        side = self.image_size // self.patch_size
        return side, side


class DataSpec(Part):
    """A labelled image set, its subset, and how an image reaches the network."""

    source: str = Field(min_length=1, description="a name in vitstudy.data.sources.SOURCES")
    train_size: int | None = Field(None, gt=0, description="images of the subset; None: all that minival leaves")
    minival_size: int = Field(gt=0, description="images held out of train for every choice (never the test set)")
    image_size: int = Field(gt=0, description="pixels fed to the network")
    crop: Literal["none", "pad", "inception"] = "none"
    flip: bool = True
    test_size: int | None = Field(None, gt=0, description="first n of the test set; None: all of it")


class OptimSpec(Part):
    """AdamW in the paper's sense: decay is decoupled, times lr, on all parameters (models.md section 2)."""

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="images per step over all devices")
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay_mask: Literal["all", "kernels"] = "all"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    warmup_steps: int = Field(ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    end_lr: float = Field(1e-5, ge=0, description="where the linear schedule ends (released code: linear_end)")
    clip_norm: float | None = Field(1.0, gt=0, description="global gradient norm; None: no clipping")
    loss: Literal["softmax", "sigmoid"] = "softmax"
    head_bias_init: float = 0.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below steps {self.steps}")
        return self


class EvalSpec(Part):
    """What is measured at the end of a run (few-shot constants: big_vision evaluators/fewshot_lsr.py)."""

    fewshot: tuple[int, ...] = Field((5,), description="shots per class, k")
    fewshot_draws: int = Field(3, gt=0, description="random draws of the k images, averaged")
    fewshot_l2: float = Field(1024.0, gt=0)
    fewshot_feature: Literal["pre_logits", "encoded"] = "pre_logits"
    probes: tuple[Literal["posemb_similarity"], ...] = ("posemb_similarity",)
    batch_size: int = Field(500, gt=0)


class RunSpec(Part):
    """One run: train one model once, evaluate it once."""

    spec_version: int = SPEC_VERSION
    model: ModelSpec
    data: DataSpec
    optim: OptimSpec
    eval: EvalSpec
    seed: int = Field(ge=0)
    parent: RunSpec | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.model.image_size != self.data.image_size:
            raise ValueError(
                f"model.image_size {self.model.image_size} differs from data.image_size {self.data.image_size}"
            )
        return self


class Execution(Part):
    """How a run is executed here. Recorded in env.json and shown in tables, never part of the identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    attention: Literal["auto", "fused", "plain"] = "auto"
    threads: int | None = Field(None, gt=0, description="CPU threads; None: all")
    loader_workers: int = Field(0, ge=0)
    checkpoint_every_s: float = Field(30.0, gt=0, description="seconds between checkpoints")
    checkpoint_every_steps: int | None = Field(None, gt=0, description="instead of the clock")
    log_every: int = Field(20, gt=0)
    minival_every: int | None = Field(None, gt=0, description="steps between evaluations on minival; None: at the end")
