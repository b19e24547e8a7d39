"""Every study at scale smoke, through the command line, in one store: reports, tables, figures; shared runs are run once."""

import json
from typing import NamedTuple

import pytest

from experiments import STUDIES
from tests.conftest import CHOSEN, vitstudy
from vitstudy.runs.store import Store
from vitstudy.study.spec import RunSpec

OTHERS = [name for name in STUDIES if name != "posemb"]  # that one has a fixture, and tests, of its own


class Session(NamedTuple):
    store: object
    to: object
    stdout: dict[str, str]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies")
    found = Session(root / "runs", root / "analysis", {})
    for name in OTHERS:
        done = vitstudy(
            "run", name, "--scale", "smoke", "--store", found.store, "--to", found.to, "--wandb", "off", *CHOSEN
        )
        found.stdout[name] = done.stdout
    return found


@pytest.mark.parametrize("name", OTHERS)
def test_it_ends_with_a_report_on_its_claims_tables_and_figures(session, name):
    study = STUDIES[name]
    assert all(Store(session.store).is_done(spec) for spec in study.runs("smoke"))
    for claim in study.claims:
        assert f"\n{claim}: " in session.stdout[name], f"{name} says nothing about {claim}"
    for figure in study.figures:
        for ending in ("svg", "png", "csv", "txt"):
            assert (session.to / "figures" / "smoke" / f"{figure}.{ending}").stat().st_size > 50
    tables = session.to / "tables" / "smoke"
    assert study.claims[0] in (tables / f"{name}.md").read_text()
    assert len((tables / f"{name}_runs.csv").read_text().splitlines()) == 1 + len(study.runs("smoke"))
    assert json.loads((tables / f"{name}_env.json").read_text())[0]["execution"]["device"] == "cpu"


@pytest.mark.parametrize("name", OTHERS)
def test_it_can_be_asked_again(session, name):
    at = ("--scale", "smoke", "--store", session.store)
    assert "nothing to launch" in vitstudy("run", name, *at, "--to", session.to, "--wandb", "off").stdout
    found = json.loads(vitstudy("results", name, *at, "--json").stdout)
    assert {verdict["claim"] for verdict in found["verdicts"]} >= set(STUDIES[name].claims)


def test_pre_training_is_shared_across_studies(session):
    shared = set(STUDIES["compute"].runs("smoke")) & set(STUDIES["data_scale"].runs("smoke"))
    assert {spec.stage for spec in shared if isinstance(spec, RunSpec)} >= {"pretrain", "tune", "finetune"}
    first = session.stdout["compute"].splitlines()[0]
    total = len(STUDIES["compute"].runs("smoke"))
    assert f"compute at smoke: {total - len(shared)} runs to do ({len(shared)} of {total} ended before)" in first
