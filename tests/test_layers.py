"""The import rules of the design: who may know whom. A rule that is broken names the module and the import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {"torch", "pytorch_lightning", "timm"}
OURS = ("vitstudy", "experiments", "analysis")

ALLOWED_OURS = {
    "vitstudy.study": {"vitstudy.study"},
    "experiments": {"experiments", "vitstudy.study"},
    "vitstudy.data": {"vitstudy.data", "vitstudy.study", "vitstudy.errors", "vitstudy.files"},
    "vitstudy.models": {"vitstudy.models", "vitstudy.study"},
    "vitstudy.training": {"vitstudy.training", "vitstudy.study", "vitstudy.models", "vitstudy.data", "vitstudy.files"},
    "vitstudy.evaluation": {"vitstudy.evaluation", "vitstudy.study", "vitstudy.models", "vitstudy.data"},
    "vitstudy.runs": {
        "vitstudy.runs", "vitstudy.study", "vitstudy.data", "vitstudy.models", "vitstudy.training", "vitstudy.evaluation",
        "vitstudy.files", "vitstudy.errors",
    },
    "vitstudy.results": {"vitstudy.results", "vitstudy.study", "vitstudy.files"},
    "analysis": {"analysis", "vitstudy.results"},
    "vitstudy.files": set(),
    "vitstudy.errors": set(),
}  # fmt: skip

FORBIDDEN = {
    "vitstudy.study": {*HEAVY, "pandas", "numpy"},
    "experiments": HEAVY,
    "vitstudy.data": {"timm", "pytorch_lightning", "pandas"},
    "vitstudy.models": {"pytorch_lightning", "pandas", "wandb"},
    "vitstudy.training": {"timm", "wandb", "pandas"},
    "vitstudy.evaluation": {"timm", "pytorch_lightning", "matplotlib"},
    "vitstudy.runs": {"timm", "pytorch_lightning", "pandas", "matplotlib"},
    "vitstudy.results": {*HEAVY, "matplotlib", "seaborn"},
    "analysis": HEAVY,
}


def _modules():
    for top in OURS:
        for path in sorted((ROOT / top).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def _imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _package(name, packages):
    return next((p for p in packages if name == p or name.startswith(p + ".")), None)


@pytest.mark.parametrize(("name", "path"), list(_modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_its_layer_may(name, path):
    layer = _package(name, ALLOWED_OURS)
    if layer is None:
        assert name in ("vitstudy.__init__", "vitstudy.__main__") or name.startswith("vitstudy.cli")
        return
    for imported in _imports(path):
        top = imported.split(".")[0]
        if top in OURS and imported != "vitstudy":
            assert _package(imported, ALLOWED_OURS[layer]), f"{name} must not import {imported}"
        assert top not in FORBIDDEN.get(layer, ()), f"{name} must not import {imported}"
        if top == "wandb":
            assert name == "vitstudy.runs.tracking"


@pytest.mark.parametrize("name", ["experiments", "vitstudy.cli", "analysis.registry", "vitstudy.results.report"])
def test_these_load_without_torch(name):
    code = f"import sys, {name}; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


@pytest.mark.parametrize(("name", "path"), list(_modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_files_are_small_and_say_what_they_hold(name, path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{name} has no docstring"
    assert len(text.splitlines()) <= 250, f"{name} is longer than 250 lines: split it"


def test_only_the_models_know_timm_and_only_training_knows_lightning():
    users = {top: {_package(name, ALLOWED_OURS) for name, path in _modules() if any(i.split(".")[0] == top for i in _imports(path))}
             for top in ("timm", "pytorch_lightning")}  # fmt: skip
    assert users == {"timm": {"vitstudy.models"}, "pytorch_lightning": {"vitstudy.training"}}
