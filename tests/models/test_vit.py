"""The ViT: equal to timm's where they overlap, initialised as the released code says, every parameter in use."""

import copy
import math
from functools import partial

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from experiments import STUDIES
from experiments.posemb import CELLS
from vitstudy.data.keyed import generator
from vitstudy.models.factory import build
from vitstudy.models.vit import PatchConv2d
from vitstudy.study.grid import apply

NANO = apply(STUDIES["posemb"].runs("nano")[0], {"model.patch_size": 4})  # 7 x 7 tokens
ids = lambda cell: "-".join(cell.values())  # noqa: E731


def network(change=None, seed=0):
    spec = apply(NANO, change or {}).model
    return build(spec, lambda name: generator(seed, f"init/{name}"))


def images(count=2):
    return torch.randn(count, 1, 28, 28, generator=generator(0, "images"))


@pytest.mark.parametrize("pool", ["cls", "gap"])
@pytest.mark.parametrize("cell", CELLS, ids=ids)
def test_every_parameter_gets_a_gradient(cell, pool):
    net = network({**cell, "model.pool": pool})
    nn.init.normal_(net.head.weight)  # zero at the start: nothing would flow through it
    logits = net(images())
    assert logits.shape == (2, 10)
    logits.square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # in the last layer only the class token's query is used, and it has no position logits
    unread = ["blocks.3.attn.offsets"] if (cell["model.posemb"], pool) == ("relative", "cls") else []
    assert idle == unread


@pytest.mark.parametrize("cell", CELLS, ids=ids)
def test_both_attention_kernels_are_the_same_function(cell):
    net = network(cell).double().eval()
    nn.init.normal_(net.head.weight)
    outputs = []
    for fused in (True, False):
        net.set_attention_kernel(fused)
        outputs.append(net(images().double()))
    assert torch.allclose(*outputs, atol=1e-10)


def test_the_default_equals_timms_own_with_the_same_weights():
    ours = network({"model.posemb": "1d", "model.prelogits": False}).eval()
    nn.init.normal_(ours.head.weight)
    theirs = TimmVisionTransformer(
        img_size=28, patch_size=4, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4, mlp_ratio=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), act_layer=partial(nn.GELU, approximate="tanh"),
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    x = images()
    assert torch.allclose(
        copy.deepcopy(ours).double()(x.double()), copy.deepcopy(theirs).double()(x.double()), rtol=0, atol=1e-12
    )
    theirs.patch_embed.proj = ours.patch_embed.proj  # to the bit, but for the convolution's own rounding
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(("colours", "patch"), [(1, 4), (3, 7)])
def test_embedding_patches_by_a_matrix_product_is_the_convolution(colours, patch):
    """Values, and the gradients of weights, bias and image."""
    x = torch.randn(2, colours, 28, 28, generator=generator(0, "colours"), dtype=torch.float64)
    conv, ours = (kind(colours, 6, patch, patch, dtype=torch.float64) for kind in (nn.Conv2d, PatchConv2d))
    ours.load_state_dict(conv.state_dict())
    seen = []
    for layer in (conv, ours):
        image = x.clone().requires_grad_()
        embedded = layer(image)
        (embedded * torch.arange(embedded.numel()).view(embedded.shape)).sum().backward()
        seen.append((embedded, image.grad, layer.weight.grad, layer.bias.grad))
    for theirs, mine in zip(*seen, strict=True):
        assert torch.allclose(theirs, mine, rtol=1e-12, atol=1e-9)


def test_cells_that_share_a_seed_share_their_starting_weights():
    first = dict(network(CELLS[0]).named_parameters())
    for cell in CELLS[1:]:
        for name, parameter in network(cell).named_parameters():
            if name in first:
                assert torch.equal(parameter, first[name]), name
    assert not torch.equal(network(seed=1).patch_embed.proj.weight, first["patch_embed.proj.weight"])


def test_initial_weights_have_the_published_distributions():
    wide = {"model.hidden_dim": 256, "model.mlp_dim": 1024}
    net = network({**wide, "model.posemb": "1d"})
    block = net.blocks[0]
    assert_uniform(block.attn.qkv.weight, math.sqrt(6 / (256 + 256)))  # one D x D matrix each
    assert_uniform(block.attn.proj.weight, math.sqrt(6 / (256 + 256)))
    assert_uniform(block.mlp.fc1.weight, math.sqrt(6 / (256 + 1024)))
    for parameter, std in (
        (block.mlp.fc1.bias, 1e-6),
        (net.pos_embed, 0.02),
        (net.patch_embed.proj.weight, 1 / 4),  # fan-in 1 x 4 x 4, after truncation
        (net.pre_logits.fc.weight, 1 / 16),
    ):
        assert parameter.std().item() == pytest.approx(std, rel=0.1)
    for zero in (
        net.head.weight,
        net.head.bias,
        net.cls_token,
        block.attn.qkv.bias,
        net.norm.bias,
        net.patch_embed.proj.bias,
    ):
        assert not zero.any()
    assert (net.norm.weight == 1).all()


def test_offset_embeddings_start_at_the_scale_of_content_keys():
    net = network({"model.posemb": "relative", "model.hidden_dim": 256})
    keys = net.blocks[0].attn.qkv(torch.randn(1000, 256, generator=generator(0, "x")))[:, 256:512]
    assert net.blocks[0].attn.offsets.std().item() == pytest.approx(keys.std().item(), rel=0.05)


def assert_uniform(weight, limit):
    assert weight.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)


def test_head_bias_can_start_elsewhere():
    net = build(NANO.model, lambda name: generator(0, name), head_bias=-10.0)
    assert (net.head.bias == -10).all()
