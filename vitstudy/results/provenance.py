"""Where a study's numbers came from: the distinct environments of its finished runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vitstudy.files import read_json
from vitstudy.results.table import Results
from vitstudy.study.timing import Spec


def environments(store: Results, runs: Sequence[Spec]) -> list[dict[str, Any]]:
    """Each env.json that differs in more than its time stamps, with the names of the runs that share it."""
    found: dict[str, dict[str, Any]] = {}
    for spec in dict.fromkeys(runs):
        if store.state(spec) != "done":
            continue
        path = store.path(spec)
        facts = {key: value for key, value in read_json(path / "env.json").items() if key != "segments"}
        entry = found.setdefault(json.dumps(facts, sort_keys=True), {**facts, "runs": []})
        entry["runs"].append(path.name)
    return list(found.values())
