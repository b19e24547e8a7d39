"""Result tables with planted effects for the studies compute, shape and timing, as `collect` would give them."""

import numpy as np
import pandas as pd

BUDGETS = {
    "vit": (1, 2, 4, 8, 16, 32),
    "resnet": (1.2, 2.4, 4.8, 9.6, 19.2, 38.4),
    "hybrid": (1.1, 2.2, 4.4, 8.8, 17.6, 35.2),
}
MODELS = {
    "vit": ("ViT-t/4", "ViT-n/4", "ViT-m/4"),
    "resnet": ("R14-t", "R14-n", "R14-m"),
    "hybrid": ("R8+ViT-t/4", "R8+ViT-n/4", "R8+ViT-m/4"),
}
UNIT = 1e12
"""FLOPs of a budget of 1."""

DONE = {"state": "done", "precision": "bf16", "device": "cpu", "device_name": "a CPU", "threads": 1}


def law(at, b=0.15, error=0.3, floor=0.0):
    """Error at a budget of `at` times UNIT: `error` at 1."""
    return floor + (error - floor) * at**-b


def compute_table(laws, noise=0.01, seeds=3, seed=0, targets=("fashion-mnist", "digits"), **more):
    """`laws`: family -> function from budget to error. Each family: three models for 1 and 2 times the steps."""
    rng, rows = np.random.default_rng(seed), []
    for s in range(seeds):
        for family, error in laws.items():
            for i, budget in enumerate(BUDGETS[family]):
                common = {
                    "seed": s, "family": family, "model": MODELS[family][i // 2], "upstream": "fractals", "upstream_images": 1000,
                    "upstream_steps": 100 * (1 + i % 2), "upstream_image_size": 20, "batch_size": 50, "image_size": 20,
                    "cost/params": 1e4 * (1 + i // 2), "cost/pretrain_flops": budget * UNIT, "cost/pretrain_seconds": 10 * budget,
                    "train_size": None, **DONE, **more,
                }  # fmt: skip
                name = f"{family}{i}-{s}"
                rows.append(
                    {"run_id": name, "run": name, "stage": "pretrain", "source": "fractals", "steps": 100, **common}
                )
                for target in targets:
                    accuracy = 1 - error(budget) * np.exp(rng.normal(0, noise))
                    child = {"stage": "finetune", "source": target, "steps": 50, "test/acc": accuracy}
                    rows.append({"run_id": name + target, "run": name + target, **common, **child})
    return pd.DataFrame(rows)


BASE = (4, 64, 128, 4)
LINES = {
    "depth": ((1, 64, 128, 4), (2, 64, 128, 4), (8, 64, 128, 4), (16, 64, 128, 4)),
    "width": ((4, 32, 128, 4), (4, 96, 128, 4), (4, 128, 128, 4)),
    "mlp": ((4, 64, 64, 4), (4, 64, 256, 4), (4, 64, 512, 4)),
    "patch": ((4, 64, 128, 10), (4, 64, 128, 5), (4, 64, 128, 2)),
    "all": ((2, 32, 64, 5), (6, 96, 192, 4)),
}
COST = {
    (1, 64, 128, 4): 0.3, (2, 64, 128, 4): 0.5, (8, 64, 128, 4): 2.0, (16, 64, 128, 4): 3.9,
    (4, 32, 128, 4): 0.4, (4, 96, 128, 4): 1.8, (4, 128, 128, 4): 2.8,
    (4, 64, 64, 4): 0.8, (4, 64, 256, 4): 1.5, (4, 64, 512, 4): 2.6,
    (4, 64, 128, 10): 0.2, (4, 64, 128, 5): 0.6, (4, 64, 128, 2): 4.6, (2, 32, 64, 5): 0.1, (6, 96, 192, 4): 3.1, BASE: 1.0,
}  # fmt: skip
SLOPES = {"depth": (0.10, 0.05), "width": (0.02, 0.01), "mlp": (0.03, 0.03), "patch": (0.03, 0.03), "all": (0.05, 0.05)}
"""Line -> gain per doubling of compute below and above the base; the paper's order."""


def shape_table(slopes=SLOPES, noise=0.001, seeds=3, seed=0, metric="fewshot/5"):
    """Accuracy 0.6 at the base, plus log2(compute) times the slope of the line."""
    rng, rows = np.random.default_rng(seed), []
    for s in range(seeds):
        for axis, shapes in (("base", (BASE,)), *LINES.items()):
            for shape in shapes:
                x = np.log2(COST[shape])
                gain = 0.0 if axis == "base" else x * slopes[axis][int(x > 0)]
                layers, dim, mlp, patch = shape
                name = f"ViT-{layers}x{dim}x{mlp}/{patch}"
                rows.append(
                    {"run_id": f"{name}-{s}", "run": f"{name}-{s}", "seed": s, "stage": "pretrain", "family": "vit", "model": name,
                     "source": "fashion-mnist", "steps": 300, "batch_size": 50, "train_size": None, "image_size": 20,
                     "num_layers": layers, "hidden_dim": dim, "mlp_dim": mlp, "patch_size": patch,
                     metric: 0.6 + gain + rng.normal(0, noise), "cost/forward_flops": 1e6 * COST[shape],
                     "cost/params": 1e4 * COST[shape], **DONE}
                )  # fmt: skip
    return pd.DataFrame(rows)


SIZES = (20, 40, 60, 80, 120)
SPEEDS = {  # model: family, FLOPs at 20 px, images/s at 20 px, slope of ln(speed) over ln(pixels) at the end
    "R14-t": ("resnet", 1e6, 20000, -1.0), "R14-m": ("resnet", 8e6, 3000, -1.0),
    "ViT-t/4": ("vit", 1.1e6, 26000, -1.1), "ViT-m/4": ("vit", 8.5e6, 3500, -1.4),
}  # fmt: skip
BATCHES = {"R14-t": 512, "R14-m": 64, "ViT-t/4": 512, "ViT-m/4": 128}


def timing_table(speeds=SPEEDS, batches=BATCHES, noise=0.01, repeats=3, seed=0):
    """Speed falls as pixels^-1 up to 60 px and with the planted slope after that; batches as pixels^-1 from 1024 at most."""
    rng, rows = np.random.default_rng(seed), []
    for repeat in range(repeats):
        for model, (family, flops, speed, slope) in speeds.items():
            for size in SIZES:
                near, far = min(size, 60) / 20, max(size, 60) / 60
                rate = speed * near**-2 * far ** (2 * slope)
                batch = min(1024, 2 ** int(np.log2(batches[model] * (120 / size) ** 2))) if batches else np.nan
                name = f"{model}-{size}-{repeat}"
                rows.append(
                    {"run_id": name, "run": name, "seed": repeat, "family": family, "model": model, "source": "none",
                     "image_size": size, "timing/images_per_s": rate * np.exp(rng.normal(0, noise)),
                     "timing/best_batch": 64, "timing/max_batch": batch, "timing/memory_limit_bytes": 2**30,
                     "cost/forward_flops": flops * (size / 20) ** 2, "cost/params": flops, **DONE}
                )  # fmt: skip
    return pd.DataFrame(rows)


def unfinished(table, rows=slice(None), state="planned"):
    """The table with some runs not done: their metrics, costs and execution are missing, as `collect` leaves them."""
    table = table.copy()
    index = table.index[rows]
    table.loc[index, "state"] = state
    measured = [name for name in table if "/" in name or name in ("precision", "device", "device_name", "threads")]
    for name in measured:
        table[name] = table[name].astype(object if table[name].dtype.kind in "OU" else float)
        table.loc[index, name] = np.nan
    return table
