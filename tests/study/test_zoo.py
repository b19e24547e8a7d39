"""The paper's models by name: sizes published or derived elsewhere, and names that are none."""

import pytest

from vitstudy.results.paper import read
from vitstudy.study.cost import parameters
from vitstudy.study.zoo import TABLE6, headless, named

EXACT = {
    # models.md 1.4: 1000-class linear head
    "ViT-B/16": 86_567_656, "ViT-B/32": 88_224_232, "ViT-L/16": 304_326_632, "ViT-L/32": 306_535_400, "ViT-H/14": 632_045_800,
    # timm: resnetv2_50x1_bit, resnetv2_101x1_bit, resnetv2_152x2_bit
    "R50x1": 25_549_352, "R101x1": 44_541_480, "R152x2": 236_335_208,
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_exact_sizes(name):
    assert parameters(headless(named(name))) == EXACT[name]


@pytest.mark.parametrize("name", TABLE6)
def test_every_model_of_table_6_has_the_size_that_its_name_says(name):
    spec = headless(named(name))
    stem, _, vit = name.rpartition("+") if "+" in name else ("", "", name) if "ViT" in name else (name, "", "")
    expected = 0
    if stem and not vit:
        expected = bottlenecks(spec.layers, spec.width, post=False) + 1000 * (32 * spec.width + 1)
    else:
        width, depth, mlp = {"B": (768, 12, 3072), "L": (1024, 24, 4096), "H": (1280, 32, 5120)}[vit[4]]
        number = int(vit[6:])
        if stem:
            expected = bottlenecks(spec.layers, 64, post=True)
            inputs = {16: 1024, 32: 2048}[number]
        else:
            inputs = 3 * number**2
        expected += encoder(width, depth, mlp, inputs, tokens=(224 // number) ** 2 + 1) + 1000 * (width + 1)
    assert parameters(spec) == expected


def encoder(width, depth, mlp, inputs, tokens):
    block = 4 * width * (width + 1) + width * (mlp + 1) + mlp * (width + 1) + 2 * 2 * width
    return (inputs + 1) * width + width + tokens * width + depth * block + 2 * width


def bottlenecks(layers, width, post):
    """7 x 7 stem, then per block 1 x 1, 3 x 3, 1 x 1, the first with a projection; norms before (v2) or after (v1)."""
    total, chans = 7 * 7 * 3 * width + (2 * width if post else 0), width
    for stage, blocks in enumerate(layers):
        inner, outer = width * 2**stage, 4 * width * 2**stage
        for block in range(blocks):
            total += chans * inner + 9 * inner * inner + inner * outer
            total += 2 * (inner + inner + outer) if post else 2 * (chans + inner + inner)
            if block == 0:
                total += chans * outer + (2 * outer if post else 0)
            chans = outer
    return total + (0 if post else 2 * chans)


def test_b32_of_figure_4_is_half_as_wide():
    big, small = named("ViT-B/32"), named("ViT-b/32")
    assert (small.hidden_dim * 2, small.mlp_dim * 2, small.num_layers) == (big.hidden_dim, big.mlp_dim, big.num_layers)
    assert small.hidden_dim // small.num_heads == big.hidden_dim // big.num_heads == 64
    assert parameters(headless(small)) / 1e6 == pytest.approx(22.9, abs=0.1)


def test_table_1():
    published = read("table1_variants.csv").set_index("model")
    for row, name in (("ViT-Base", "ViT-B/16"), ("ViT-Large", "ViT-L/32"), ("ViT-Huge", "ViT-H/14")):
        spec, facts = headless(named(name)), published.loc[row]
        assert (spec.num_layers, spec.hidden_dim, spec.mlp_dim, spec.num_heads) == tuple(
            facts[["layers", "hidden_size", "mlp_size", "heads"]].astype(int)
        )
        assert int(parameters(spec) / 1e6 + 0.5) - int(facts["params_millions"]) in (0, 1)


def test_r50_is_r50x1_and_the_number_is_the_down_sampling():
    assert named("R50+ViT-B/16").layers == named("R50x1+ViT-B/16").layers == (3, 4, 9)
    assert named("R50x1+ViT-B/32").grid == (7, 7)
    assert named("R50+ViT-B/16").grid == (14, 14)
    assert (named("R152x2").layers, named("R152x2").width) == ((3, 8, 36, 3), 128)


@pytest.mark.parametrize(
    "name", ["", "ViT", "ViT-Q/16", "R51x1", "R50x1+", "+ViT-B/16", "R50x1ViT-B/16", "ViT-B/16 ", "R50+ViT-B/8", "Rx1"]
)
def test_a_name_that_is_none_is_refused_with_what_is_allowed(name):
    with pytest.raises(ValueError, match=r"allowed: ViT-S/P|down-samples by 16 or 32, got 8"):
        named(name)


@pytest.mark.parametrize("name", ["ViT-B/0", "R50x0"])
def test_a_size_of_zero_is_refused(name):
    with pytest.raises(ValueError):
        named(name)
