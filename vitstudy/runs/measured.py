"""Facts about a machine that a store keeps, so that all its runs rest on the same ones: `<store>/autotune/<key>.json`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitstudy.files import read_json, write_json


def measured_once(root: Path, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The stored measurement of that key, made now where there is none. Of workers that measure at once, the first decides."""
    file = root / "autotune" / ("".join(c if c.isalnum() or c in "-." else "_" for c in key) + ".json")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        write_json(temporary, measure())
        try:
            os.link(temporary, file)
        except FileExistsError:
            pass  # another worker's measurement counts for both
        finally:
            temporary.unlink()
    found: dict[str, Any] = read_json(file)
    return found
