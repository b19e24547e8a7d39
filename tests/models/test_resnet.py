"""BiT ResNet and hybrid: equal to timm's own with the same weights, standardised, initialised and laid out as they say."""

import math
from functools import partial

import pytest
import timm
import torch
from timm.layers import GroupNormAct, HybridEmbed, StdConv2d, StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn
from torch.nn import functional as F

from experiments.families import FAMILIES, resize
from vitstudy.data.keyed import generator
from vitstudy.models.factory import build, construct
from vitstudy.study.models import HybridSpec, ResNetSpec
from vitstudy.study.zoo import headless, named

GREY = {"image_size": 36, "in_chans": 1, "num_classes": 7}
BODY = {"layers": (2, 1, 1), "width": 16, "groups": 4}
SMALL_BODY = {**BODY, "layers": (1, 1), "stem": "small"}
VIT = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64, "prelogits": False}
RESNET = ResNetSpec(name="R", **GREY, **BODY)
HYBRID = HybridSpec(name="R+ViT", **GREY, **BODY, **VIT)
SPECS = [
    RESNET,
    HYBRID,
    ResNetSpec(name="R-small", **GREY, **SMALL_BODY),
    HybridSpec(name="R-small+ViT", **GREY, **SMALL_BODY, **VIT),
]
names = lambda spec: spec.name  # noqa: E731


def network(spec, seed=0, scatter=True):
    """In float64; `scatter`: every parameter moved, so that no zero hides a difference."""
    net = build(spec, lambda name: generator(seed, name)).double()
    if scatter:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator(seed, f"more {name}")))
    return net


def images(spec, count=2):
    shape = (count, spec.in_chans, spec.image_size, spec.image_size)
    return torch.randn(shape, generator=generator(0, "images")).double()


def timms_resnet(spec, convolution, eps, **more):
    return ResNetV2(
        layers=spec.layers, channels=tuple(4 * spec.width * 2**i for i in range(len(spec.layers))), stem_chs=spec.width,
        in_chans=spec.in_chans, conv_layer=partial(convolution, eps=1e-8),
        norm_layer=partial(GroupNormAct, num_groups=spec.groups, eps=eps), **more,
    )  # fmt: skip


@pytest.mark.parametrize("px", [36, 45])
def test_bit_equals_timms_with_the_same_weights(px):
    spec = resize(RESNET, image_size=px)
    ours = network(spec).eval()
    theirs = timms_resnet(spec, StdConv2d, 1e-5, num_classes=7, stem_type="fixed").double().eval()
    theirs.load_state_dict(ours.state_dict())
    assert (ours(images(spec)) - theirs(images(spec))).abs().max() < 1e-5


@pytest.mark.parametrize("px", [36, 45])
def test_the_hybrid_equals_timms_with_the_same_weights(px):
    spec = resize(HYBRID, image_size=px)
    ours = network(spec).eval()
    stem = timms_resnet(spec, StdConv2dSame, 1e-6, num_classes=0, global_pool="", stem_type="same", preact=False)
    theirs = TimmVisionTransformer(
        img_size=px, patch_size=1, in_chans=1, num_classes=7, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2,
        embed_layer=partial(HybridEmbed, stem), norm_layer=partial(nn.LayerNorm, eps=1e-6),
        act_layer=partial(nn.GELU, approximate="tanh"),
    ).double().eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    assert (ours(images(spec)) - theirs(images(spec))).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("R50x1", "resnetv2_50x1_bit"), ("R101x1", "resnetv2_101x1_bit"), ("R152x2", "resnetv2_152x2_bit"),
        ("R50+ViT-B/16", "vit_base_r50_s16_224"),
    ],
)  # fmt: skip
def test_names_and_shapes_of_the_papers_models_are_timms(ours, theirs):
    with torch.device("meta"):
        net = construct(headless(named(ours)))
        reference = timm.create_model(theirs, num_classes=1000)
    shapes = {name: p.shape for name, p in net.named_parameters()}
    assert shapes == {name: p.shape for name, p in reference.named_parameters()}


@pytest.mark.parametrize("spec", SPECS, ids=names)
def test_weights_are_standardised_per_output_channel(spec):
    net = network(spec)
    layers = [module for module in net.modules() if isinstance(module, StdConv2d | StdConv2dSame)]
    count = sum(3 * blocks + 1 for blocks in spec.layers) + 1
    assert len(layers) == count  # every convolution but the hybrid's 1 x 1 projection and the ResNet's head
    for layer in layers:
        x = torch.randn(1, layer.in_channels, 9, 9).double()
        w = layer.weight
        mean = w.mean(dim=(1, 2, 3), keepdim=True)
        variance = ((w - mean) ** 2).mean(dim=(1, 2, 3), keepdim=True)
        standard = (w - mean) / (variance + 1e-10).sqrt()
        pad = 0 if layer.kernel_size == (1, 1) else None
        if isinstance(layer, StdConv2dSame) and pad is None:
            total = max((-(-9 // layer.stride[0]) - 1) * layer.stride[0] + layer.kernel_size[0] - 9, 0)
            x_padded = F.pad(x, (total // 2, total - total // 2) * 2)
            expected = F.conv2d(x_padded, standard, stride=layer.stride)
        else:
            expected = F.conv2d(
                x, standard, stride=layer.stride, padding=pad if pad == 0 else layer.kernel_size[0] // 2
            )
        assert torch.allclose(layer(x), expected, atol=1e-10)
        assert layer.bias is None


@pytest.mark.parametrize("spec", SPECS, ids=names)
def test_the_function_ignores_the_scale_and_offset_of_a_kernel(spec):
    net, x = network(spec).eval(), images(spec)
    before = net(x)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, StdConv2d | StdConv2dSame):
                module.weight.mul_(3.0).add_(0.7)
    assert torch.allclose(net(x), before, atol=1e-6)


def test_group_norm_has_the_eps_and_groups_of_its_form():
    for spec, eps in ((RESNET, 1e-5), (HYBRID, 1e-6)):
        norms = [module for module in network(spec).modules() if isinstance(module, nn.GroupNorm)]
        assert norms
        assert {(norm.eps, norm.num_groups) for norm in norms} == {(eps, 4)}


@pytest.mark.parametrize("spec", SPECS, ids=names)
def test_memory_layouts_are_the_same_function_and_give_the_same_gradients(spec):
    net, x = network(spec), images(spec)
    outputs, gradients = [], []
    for channels_last in (False, True):
        net.set_layout(channels_last)
        net.zero_grad()
        out = net(x)
        out.square().sum().backward()
        outputs.append(out.detach())
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert torch.allclose(*outputs, atol=1e-9)
    for first, last in zip(*gradients, strict=True):
        assert torch.allclose(first, last, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layout", [False, True])
def test_the_layout_is_what_the_convolutions_see(layout):
    net = network(RESNET)
    net.set_layout(layout)
    seen = []
    net.stages[0].blocks[0].conv2.register_forward_hook(
        lambda _, given, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    net(images(RESNET))
    assert seen == [layout]


@pytest.mark.parametrize("spec", SPECS, ids=names)
def test_every_parameter_gets_a_gradient(spec):
    net = network(spec)
    net(images(spec)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("spec", [HYBRID, SPECS[3]], ids=names)
def test_both_attention_kernels_are_the_same_function(spec):
    net, outputs = network(spec).eval(), []
    for fused in (True, False):
        net.set_attention_kernel(fused)
        outputs.append(net(images(spec)))
    assert torch.allclose(*outputs, atol=1e-9)


@pytest.mark.parametrize("spec", SPECS, ids=names)
def test_initial_weights(spec):
    net = network(spec, scatter=False)
    for name, module in net.named_modules():
        if isinstance(module, StdConv2d | StdConv2dSame):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(1 / fan_in), rel=0.15)
            assert module.weight.abs().max() <= 2 * math.sqrt(1 / fan_in) / 0.8796 + 1e-6  # truncated at 2 sigma
        if isinstance(module, nn.GroupNorm):
            last_of_block = spec.family == "hybrid" and name.endswith("norm3")
            assert (module.weight == (0 if last_of_block else 1)).all()
            assert not module.bias.any()
    assert not net.classifier.weight.any()
    assert not net.classifier.bias.any()


def test_blocks_of_the_hybrid_start_as_their_shortcut():
    block = network(HYBRID, scatter=False).patch_embed.backbone.stages[0].blocks[1]
    x = torch.rand(2, 64, 9, 9).double()
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("spec", SPECS[::2], ids=names)
def test_representation_and_classifier_of_a_resnet_are_the_network(spec):
    net, x = network(spec).eval(), images(spec)
    representation = net.represent(x)
    assert representation.shape == (2, 4 * spec.width * 2 ** (len(spec.layers) - 1))
    assert torch.equal(net.classify(representation), net(x))


@pytest.mark.parametrize(
    ("name", "px", "side"),
    [
        ("R50+ViT-B/16", 224, 14), ("R50+ViT-B/32", 224, 7), ("R50+ViT-B/16", 384, 24), ("R50+ViT-B/32", 384, 12),
        ("R50+ViT-B/16", 225, 15), ("R50+ViT-B/32", 200, 7), ("R50+ViT-B/16", 33, 3),
    ],
)  # fmt: skip
def test_token_grids_of_both_options(name, px, side):
    spec = named(name, px)
    assert spec.grid == (side, side)
    assert spec.layers == ((3, 4, 9) if name.endswith("16") else (3, 4, 6, 3))
    # the stem alone: of a ViT-Ti/16, whose encoder is quick to make
    assert _real_grid(named(name.replace("-B/", "-Ti/"), px)) == (side, side)


@pytest.mark.parametrize("px", [20, 28, 27, 40, 1])
@pytest.mark.parametrize("spec", [FAMILIES["nano"].hybrid[0], FAMILIES["nano"].resnet[0]], ids=names)
def test_feature_maps_of_small_stems(spec, px):
    spec = resize(spec, image_size=px)
    side = spec.feature_size(px)
    assert side == math.ceil(px / 2 ** len(spec.layers))
    assert _real_grid(spec) == (side, side)


def _real_grid(spec):
    with torch.device("meta"):
        net = construct(spec)
        body = net.patch_embed.backbone if spec.family == "hybrid" else net
        return tuple(body.forward_features(torch.empty(1, spec.in_chans, spec.image_size, spec.image_size)).shape[-2:])
