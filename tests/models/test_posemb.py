"""What each position embedding of D.4 is, as properties."""

import pytest
import torch
from torch import nn

from experiments import STUDIES
from vitstudy.data.keyed import generator
from vitstudy.evaluation.probes import posemb_similarity
from vitstudy.models.factory import build
from vitstudy.models.posemb import RelativeAttention, Table2d
from vitstudy.study.grid import apply

NANO = apply(STUDIES["posemb"].runs("nano")[0], {"model.patch_size": 4})  # 7 x 7 tokens
PLACES = ("stem", "every-layer", "every-layer-shared")


def network(posemb, place="stem", **more):
    spec = apply(NANO, {"model.posemb": posemb, "model.posemb_at": place, **more}).model
    net = build(spec, lambda name: generator(0, name)).double().eval()
    nn.init.normal_(net.head.weight)
    for name, parameter in net.named_parameters():  # large codes: a difference would show
        if "pos" in name or "offsets" in name:
            nn.init.normal_(parameter, std=0.5, generator=generator(1, name))
    return net


def shuffled_patches(x, order):
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3)[:, :, order]
    return patches.view(len(x), 1, 7, 7, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)


@pytest.mark.parametrize(
    ("posemb", "place", "blind"),
    [("none", "stem", True), ("relative", "stem", False), *((kind, p, False) for kind in ("1d", "2d") for p in PLACES)],
)
def test_only_none_is_blind_to_the_order_of_patches(posemb, place, blind):
    net, x = network(posemb, place), torch.randn(2, 1, 28, 28, generator=generator(0, "x")).double()
    order = torch.randperm(49, generator=generator(0, "order"))
    tokens, moved = net.forward_features(x), net.forward_features(shuffled_patches(x, order))
    assert torch.allclose(moved[:, 0], tokens[:, 0], atol=1e-9) == blind
    assert torch.allclose(moved[:, 1:], tokens[:, 1:][:, order], atol=1e-9) == blind


def test_2d_codes_are_a_row_part_and_a_column_part():
    table = Table2d((3, 5), 8, prefix=1)
    for parameter in table.parameters():
        nn.init.normal_(parameter)
    codes = table()[1:].view(3, 5, 8)
    assert torch.equal(codes[:, :, :4], codes[:, :1, :4].expand(3, 5, 4))
    assert torch.equal(codes[:, :, 4:], codes[:1, :, 4:].expand(3, 5, 4))
    assert torch.equal(codes[2, 3], torch.cat([table.rows[2], table.cols[3]]))
    assert torch.equal(table()[0], table.prefix_table[0])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("posemb", ["1d", "2d"])
def test_where_the_code_enters(posemb, place):
    """Codes are added to the input of the first layer, and of each further one when every layer has them."""
    net = network(posemb, place)
    inputs, outputs = [], []
    for block in net.blocks:
        block.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        block.register_forward_hook(lambda _, __, out: outputs.append(out))
    net(torch.zeros(1, 1, 28, 28).double())
    codes = net.position_codes().flatten(1, 2)
    for i in range(1, 4):
        added = (inputs[i] - outputs[i - 1])[0, 1:]
        wanted = codes[{"stem": 0, "every-layer": i, "every-layer-shared": 0}[place] if place != "stem" else 0]
        assert torch.allclose(added, torch.zeros_like(added) if place == "stem" else wanted, atol=1e-12)
    assert len(codes) == (4 if place == "every-layer" else 1)


@pytest.mark.parametrize("prefix", [0, 1])
def test_relative_attention_against_a_loop(prefix):
    layer = RelativeAttention(8, 2, num_patches=6, prefix=prefix, qkv_bias=True).double()
    nn.init.normal_(layer.offsets)
    x = torch.randn(1, 6 + prefix, 8).double()
    q, k, v = layer.qkv(x)[0].view(6 + prefix, 3, 2, 4).permute(1, 2, 0, 3)
    out = torch.zeros(6 + prefix, 8).double()
    for head in range(2):
        for i in range(6 + prefix):
            logits = [q[head, i] @ k[head, j] for j in range(6 + prefix)]
            for j in range(prefix, 6 + prefix):
                if i >= prefix:
                    logits[j] = logits[j] + q[head, i] @ layer.offsets[i - j + 5]
            weights = torch.softmax(torch.stack(logits) / 2.0, 0)  # sqrt(4)
            out[i, 4 * head : 4 * head + 4] = weights @ v[head]
    assert torch.allclose(layer(x)[0], layer.proj(out), atol=1e-12)


def test_relative_logits_depend_on_the_offset_alone_and_leave_the_class_token_out():
    layer = RelativeAttention(8, 2, num_patches=6, prefix=1).double()
    nn.init.normal_(layer.offsets)
    same_query = torch.randn(1, 2, 1, 4).double().expand(1, 2, 7, 4)
    logits = layer.position_logits(same_query)
    assert not logits[:, :, 0].any()
    assert not logits[:, :, :, 0].any()
    inner = logits[:, :, 1:, 1:]
    assert torch.allclose(inner[:, :, 1:, 1:], inner[:, :, :-1, :-1])
    assert not torch.allclose(inner[:, :, 1:, :-1], inner[:, :, :-1, 1:])


@pytest.mark.parametrize("posemb", ["1d", "2d"])
def test_similarity_is_the_cosine_of_each_pair(posemb):
    net = network(posemb, "every-layer")
    found = posemb_similarity(net)
    codes = net.position_codes()
    pairs = [nn.functional.cosine_similarity(layer[1, 2], layer[4, 6], dim=0) for layer in codes]
    assert found.shape == (7, 7, 7, 7)
    assert found[1, 2, 4, 6] == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)
    flat = found.reshape(49, 49)
    assert flat.diagonal() == pytest.approx(1.0)
    assert (abs(flat - flat.T) < 1e-6).all()


def test_similarity_of_relative_codes_and_of_none():
    net = network("relative")
    found, offsets = posemb_similarity(net), net.offset_codes()
    pairs = [nn.functional.cosine_similarity(layer[48], layer[48 + 8], dim=0) for layer in offsets]
    assert found[2, 3, 1, 2] == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)
    assert posemb_similarity(network("none")) is None
