"""What fine-tuning takes from a parent: all but the head, positions resampled as `scipy.ndimage.zoom(order=1)` does."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import nn

from experiments.families import FAMILIES, resize
from vitstudy.data.keyed import generator
from vitstudy.models.factory import build
from vitstudy.models.posemb import Table1d, Table2d
from vitstudy.models.transfer import _positions, load_body, resample_grid

VIT, RESNET, HYBRID = (family[0] for family in (FAMILIES["nano"].vit, FAMILIES["nano"].resnet, FAMILIES["nano"].hybrid))
GRIDS = [
    ((14, 14), (24, 24)),
    ((7, 7), (12, 12)),
    ((3, 5), (6, 4)),
    ((5, 3), (3, 5)),
    ((8, 6), (6, 8)),
    ((4, 9), (6, 6)),
    ((4, 4), (2, 7)),
]


def network(spec, seed=0):
    """Every number drawn at random: none is equal by chance, none is zero."""
    net = build(spec, lambda name: generator(seed, name)).double()
    for name, parameter in net.named_parameters():
        nn.init.normal_(parameter, generator=generator(seed, f"all {name}"))
    return net


def reference(codes, size):
    """(gh, gw, D) numpy -> (h, w, D), as vit_jax's checkpoint.py does."""
    return zoom(codes, (size[0] / codes.shape[0], size[1] / codes.shape[1], 1), order=1)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_grids_are_resampled_as_the_released_code_does(old, new):
    codes = torch.randn(*old, 6, generator=generator(0, "codes")).double()
    assert np.allclose(resample_grid(codes, new).numpy(), reference(codes.numpy(), new), atol=1e-12)


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_a_1d_table_is_resampled_as_the_grid_it_is_and_keeps_the_class_token(old, new, prefix):
    """Height and width are not mixed up, nor guessed from the number of rows: 4 x 9 and 6 x 6 have as many."""
    table = torch.randn(1, prefix + old[0] * old[1], 6, generator=generator(0, "t")).double()
    found = _positions("pos_embed", table, old, new, prefix)
    assert found.shape == (1, prefix + new[0] * new[1], 6)
    assert torch.equal(found[:, :prefix], table[:, :prefix])
    expected = reference(table[0, prefix:].reshape(*old, 6).numpy(), new)
    assert np.allclose(found[0, prefix:].reshape(*new, 6).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_2d_tables_give_the_codes_that_resampling_the_whole_grid_would(old, new):
    table, resampled = Table2d(old, 8, prefix=1).double(), Table2d(new, 8, prefix=1).double()
    for parameter in table.parameters():
        nn.init.normal_(parameter)
    resampled.load_state_dict(
        {name: _positions(f"posemb.0.{name}", p.data, old, new, 1) for name, p in table.named_parameters()}
    )
    assert torch.equal(resampled()[0], table()[0])
    expected = reference(table()[1:].reshape(*old, 8).detach().numpy(), new)
    assert np.allclose(resampled()[1:].reshape(*new, 8).detach().numpy(), expected, atol=1e-12)


def test_an_equal_grid_is_left_as_it_is_to_the_bit():
    table = torch.randn(1 + 15, 4)
    assert torch.equal(_positions("posemb.0.table", table, (3, 5), (3, 5), 1), table)
    assert not torch.equal(_positions("posemb.0.table", table, (3, 5), (5, 3), 1), table)
    codes = torch.randn(3, 5, 4)
    assert torch.equal(resample_grid(codes, (3, 5)), codes)


@pytest.mark.parametrize("pool", ["cls", "gap"])
@pytest.mark.parametrize("place", ["stem", "every-layer", "every-layer-shared"])
@pytest.mark.parametrize("posemb", ["1d", "2d"])
@pytest.mark.parametrize("parent", [VIT, HYBRID], ids=["vit", "hybrid"])
def test_a_child_at_a_higher_resolution_takes_the_body(parent, posemb, place, pool):
    parent = parent.model_copy(update={"posemb": posemb, "posemb_at": place, "pool": pool})
    spec = resize(parent, image_size=28, num_classes=3, prelogits=False)
    old, new = network(parent, seed=1), network(spec, seed=2)
    head = new.head.weight.clone()
    load_body(new, old.state_dict(), parent)
    assert torch.equal(new.head.weight, head)
    codes, expected = new.position_codes(), old.position_codes()
    assert len(codes) == len(expected)
    for layer, before in zip(codes, expected, strict=True):
        assert np.allclose(layer.detach().numpy(), reference(before.detach().numpy(), (7, 7)), atol=1e-12)
    before = dict(old.named_parameters())
    for name, parameter in new.named_parameters():
        if not name.startswith(("head", "pos")):
            assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("parent", [VIT, RESNET, HYBRID], ids=["vit", "resnet", "hybrid"])
def test_at_the_same_resolution_the_child_sees_what_its_parent_saw(parent):
    spec = resize(parent, num_classes=3, prelogits=False)
    old, new = network(parent, seed=1).eval(), network(spec, seed=2).eval()
    load_body(new, old.state_dict(), parent)
    x = torch.randn(2, 1, 20, 20).double()
    assert torch.equal(new.represent(x, "encoded"), old.represent(x, "encoded"))


def test_a_resnet_takes_any_resolution():
    new = network(resize(RESNET, image_size=40), seed=2)
    old = network(RESNET, seed=1)
    load_body(new, old.state_dict(), RESNET)
    assert torch.equal(new.stages[0].blocks[0].conv1.weight, old.stages[0].blocks[0].conv1.weight)
    assert not torch.equal(new.head.fc.weight, old.head.fc.weight)


@pytest.mark.parametrize("posemb", ["1d", "2d", "relative"])
def test_reset_leaves_positions_as_they_were_drawn_and_takes_the_rest(posemb):
    parent = VIT.model_copy(update={"posemb": posemb})
    spec = resize(parent, image_size=28)
    old, new, untouched = network(parent, seed=1), network(spec, seed=2), dict(network(spec, seed=2).named_parameters())
    load_body(new, old.state_dict(), parent, posemb="reset")
    kept = {name for name, p in new.named_parameters() if torch.equal(p, untouched[name])}
    positions = {name for name, _ in new.named_parameters() if "pos" in name or "offsets" in name}
    assert positions
    assert {name for name in kept if not name.startswith(("head", "pre_logits"))} == positions


def test_relative_offsets_are_taken_on_an_equal_grid_and_refused_on_another():
    parent = VIT.model_copy(update={"posemb": "relative"})
    old, new = network(parent, seed=1), network(parent, seed=2)
    load_body(new, old.state_dict(), parent)
    assert torch.equal(new.blocks[0].attn.offsets, old.blocks[0].attn.offsets)
    with pytest.raises(
        ValueError, match=r"relative position offsets of grid \(5, 5\) have no meaning on grid \(7, 7\)"
    ):
        load_body(network(resize(parent, image_size=28)), old.state_dict(), parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_chans": 3}, "in_chans of 'ViT-t/4': 1 pre-trained, 3 here"),
        ({"posemb": "2d"}, "posemb of 'ViT-t/4': 1d pre-trained, 2d here"),
        ({"pool": "gap"}, "pool of 'ViT-t/4': cls pre-trained, gap here"),
        ({"num_layers": 3}, r"no parameter 'blocks\.2\."),
        ({"num_layers": 1}, r"a parameter 'blocks\.1\..*' that has no place here"),
        ({"mlp_dim": 128}, r"parameter 'blocks\.0\.mlp\.fc1\.weight': \(256, 64\) pre-trained, \(128, 64\) here"),
    ],
)
def test_a_parent_that_does_not_fit_is_refused(change, message):
    new = network(VIT.model_copy(update=change))
    with pytest.raises(ValueError, match=message):
        load_body(new, network(VIT).state_dict(), VIT)


def test_a_parent_of_another_family_is_refused():
    with pytest.raises(ValueError, match="family of 'R14-t': vit pre-trained, resnet here"):
        load_body(network(RESNET), network(VIT).state_dict(), VIT)


def test_tables_lie_in_raster_order():
    """The order that resampling assumes: row by row, as patches are flattened."""
    assert Table1d((2, 3), 4, prefix=1)().shape == (7, 4)
    net = build(VIT, lambda name: generator(0, name))
    x = torch.zeros(1, 1, 20, 20)
    x[0, 0, 4:8, 12:16] = 1.0  # patch in row 1, column 3
    tokens = net.patch_embed(x) - net.patch_embed(torch.zeros_like(x))
    assert tokens[0].abs().sum(-1).argmax() == 1 * 5 + 3
