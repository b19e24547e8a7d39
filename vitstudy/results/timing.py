"""The report of the study `timing` (Figure 12): images/s and largest batch of each model at each input size."""

from __future__ import annotations

import math

import pandas as pd

from vitstudy.results.paper_scaling import figure12
from vitstudy.results.section import Report, Section, state_notes
from vitstudy.results.speeds import SPEED, pairs, ratio, speeds
from vitstudy.results.stats import t_interval
from vitstudy.results.timing_claims import verdicts


def timing(table: pd.DataFrame, metric: str, scale: str) -> Report:
    """Figure 12. `metric` is not used: the columns ``timing/...`` are. Raises ValueError when a repeat occurs twice."""
    frame = speeds(table)
    partners = {pair.vit: pair for pair in pairs(table, frame)}
    columns: dict[str, list[float]] = {"ratio": [], "ratio_low": [], "ratio_high": []}
    rows = []
    for row in frame.to_dict("records"):
        pair, size = partners.get(row["model"]), row["image_size"]
        log = t_interval(ratio(table, pair, size)) if pair else t_interval([])
        for name, value in (("ratio", log.mean), ("ratio_low", log.low), ("ratio_high", log.high)):
            columns[name].append(math.exp(value))
        rows.append(
            (
                row["model"],
                str(size),
                _speed(row["mean"], row["half"]),
                str(row["n"]),
                _count(row["best_batch"]),
                f"{math.exp(log.mean):.2f} {pair.resnet}" if pair and log.n else "",
                _count(row["max_batch"]),
            )
        )
    frame = frame.assign(**columns)
    devices = sorted(str(name) for name in table["device_name"].dropna().unique()) if "device_name" in table else []
    title = f"Figure 12 at scale {scale} on {', '.join(devices) or 'no device yet'}"
    headers = ("model", "px", "images/s", "n", "best batch", "x ResNet", "largest batch")
    ours = Section("figure12", title, headers, tuple(rows), frame)
    return Report((ours, _paper()), verdicts(table, frame, scale), _notes(table, frame))


def _notes(table: pd.DataFrame, frame: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        "images/s: inference, best over batch sizes, mean ± 95 % t interval over n repeats (of one process run after another: "
        "it holds for this machine)",
        "x ResNet: speed over that of the ResNet of nearest FLOPs at the middle size, if within a factor of 1.5",
    ]
    done = table[table["state"] == "done"]
    used = [sorted({str(value) for value in done[name].dropna()}) for name in ("precision", "threads") if name in done]
    if all(used) and len(used) == 2:
        notes.append(f"weights and images are random; {'/'.join(used[0])}, {'/'.join(used[1])} thread(s)")
    limits = sorted(frame["memory_limit_bytes"].dropna().unique())
    if limits:
        notes.append(f"largest batch: within {', '.join(f'{limit / 2**30:.3g} GiB' for limit in limits)}")
    if frame["max_batch"].isna().all():
        notes.append("the largest batch was not searched here")
    if SPEED not in table:
        notes.append("nothing has been measured yet")
    return (*notes, *state_notes(table))


def _paper() -> Section:
    frame = figure12()
    rows = tuple(
        (row["model"], str(row["image_size"]), f"{row['images_per_s']:,.0f}", str(row["max_batch"]))
        for row in frame.to_dict("records")
    )
    title = "The paper's Figure 12, per TPUv3 core, read from the drawing; the search stopped at 1024"
    return Section("paper", title, ("model", "px", "images/s", "largest batch"), rows, frame)


def _speed(mean: float, half: float) -> str:
    if pd.isna(mean):
        return "–"
    digits = 0 if mean >= 100 else 1
    return f"{mean:,.{digits}f}" + ("" if pd.isna(half) else f" ± {half:,.{digits}f}")


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}"
