"""The README tells the truth: its commands exist, its results are the committed ones, its test command is CI's."""

import re
import subprocess
from io import StringIO
from itertools import combinations

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from experiments import STUDIES
from tests.conftest import ROOT, committed, vitstudy

README = committed("README.md")


def test_its_make_targets_exist():
    for target in set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)):
        assert subprocess.run(["make", "-C", ROOT, "-n", target], capture_output=True, check=False).returncode == 0


def test_its_verbs_and_options_exist():
    for line in re.findall(r"^\| (`vitstudy .*)$", README, re.MULTILINE):
        for verb in re.findall(r"`vitstudy ([a-z]+)", line):
            text = vitstudy(verb, "--help").stdout
            for option in re.findall(r"(--[a-z-]+)", line) if line.count("`vitstudy") == 1 else []:
                assert option in text, f"{verb} has no {option}"


def test_its_planning_command_works():
    out = vitstudy("plan", "posemb", "--scale", "paper").stdout
    for word in ("runs", "images", "exaFLOPs", "device-days", "MFU", "memory", "disk"):
        assert word in out


@pytest.mark.parametrize("study", re.findall(r"<!-- (\w+) nano:", README))
def test_its_tables_are_the_committed_ones(study):
    shown = re.search(rf"<!-- {study} nano:.*?-->\n(.*?)<!-- end -->", README, re.DOTALL)
    table = committed(f"analysis/tables/nano/{study}.md").splitlines()
    lines = [line for line in shown.group(1).splitlines() if line]
    assert len(lines) > 5
    for line in lines:
        assert line in table, f"not in analysis/tables/nano/{study}.md: {line}"


def test_the_first_table_is_shown_whole():
    shown = re.search(r"<!-- posemb nano:.*?-->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert shown.group(1).strip() == committed("analysis/tables/nano/posemb.md").strip()


def gaps(path):
    """Accuracy of the other cells less that of `none`, seed by seed, in points: one row a seed."""
    wide = pd.read_csv(StringIO(committed(path))).pivot_table(
        index="seed", columns=["posemb", "posemb_at"], values="fewshot/5"
    )
    return 100 * wide.drop(columns="none", level="posemb").sub(wide["none", "stem"], axis=0)


def test_what_it_says_of_single_seeds_is_so():
    found = gaps("analysis/tables/nano/posemb_runs.csv")
    assert f"{int((found > 0).to_numpy().sum())} pairs of {found.size}" in README


@pytest.mark.parametrize("kernel", ["plain", "fused"])
def test_what_it_says_of_the_kernels_is_so(kernel):
    """t intervals of scipy over the gaps of four seeds, and of any three of them."""
    found = gaps(f"analysis/tables/nano/kernels/{kernel}/posemb_runs.csv")
    separate = [
        sum(ttest_1samp(found.loc[list(seeds)], 0).confidence_interval(0.95).low > 0)
        for seeds in [tuple(found.index), *combinations(found.index, 3)]
    ]
    gap = found.mean(axis=1)
    half = gap.mean() - ttest_1samp(gap, 0).confidence_interval(0.95).low
    three = " to ".join(dict.fromkeys([str(min(separate[1:])), str(max(separate[1:]))]))
    row = (
        f"| {kernel} | {gap.mean():.1f} ± {half:.1f} | {int((found > 0).to_numpy().sum())} of {found.size} "
        f"| {separate[0]} of {found.shape[1]} | {three} of {found.shape[1]} |"
    )
    assert row in README


def test_its_table_has_the_first_three_seeds_of_the_plain_kernel():
    """Two runs of one command, in two stores: equal to the bit."""
    three, four = (
        gaps("analysis/tables/nano/posemb_runs.csv"),
        gaps("analysis/tables/nano/kernels/plain/posemb_runs.csv"),
    )
    pd.testing.assert_frame_equal(three, four.loc[:2], check_exact=True)
    assert len(three) == 3


@pytest.mark.parametrize("scale", ["nano", "mini"])
def test_what_it_says_of_the_scales_is_so(scale):
    runs = STUDIES["posemb"].runs(scale)
    row = re.search(rf"^\| `{scale}` \| (.*?) \|", README, re.MULTILINE).group(1)
    assert row.startswith(f"{len(runs)} x {runs[0].model.name} (")
    assert row.endswith(f", {runs[0].optim.steps:,} steps of {runs[0].optim.batch_size}")


def test_it_says_how_many_networks_the_first_command_trains():
    assert f"runs {len(STUDIES['posemb'].runs('nano'))} small ViTs" in README


def test_its_files_exist():
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_ci_runs_its_test_command():
    assert re.search(r"^make test\b", README, re.MULTILINE)
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
