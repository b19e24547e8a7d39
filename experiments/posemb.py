"""Position-embedding ablation: Table 8 (D.4), Figure 7 centre, Figure 10. Claims C34, C20, C21.

Question   Does it matter how, and where, a ViT is told about positions?
Grid       none / 1-D / 2-D / relative x stem / every layer / every layer shared: the 8 cells that Table 8 fills, x seeds.
Command    make ablation-posemb            (vitstudy run posemb --scale nano)
Time       nano: 8 to 10 minutes on 2 AVX2 cores (24 runs); mini: about 10 minutes on one data-centre GPU.
Expected   none clearly below every other cell; the others not separable (paper: 0.614 against 0.640-0.643).
           The paper's values are in analysis/paper/table8_posemb.csv; ours are compared with them in the report.
"""

from __future__ import annotations

from experiments.scales import SETTINGS
from vitstudy.study.grid import Change, apply, product, vary
from vitstudy.study.spec import RunSpec, Scale
from vitstudy.study.study import Study

CELLS: tuple[Change, ...] = tuple(
    {"model.posemb": kind, "model.posemb_at": place}
    for kind, place in (
        ("none", "stem"),
        ("1d", "stem"),
        ("1d", "every-layer"),
        ("1d", "every-layer-shared"),
        ("2d", "stem"),
        ("2d", "every-layer"),
        ("2d", "every-layer-shared"),
        ("relative", "stem"),
    )
)


def build(scale: Scale, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Seeds outermost: a study stopped half-way has whole replicates of all cells."""
    setting = SETTINGS[scale]
    changes = product(vary("seed", range(seeds or setting.seeds)), CELLS)
    return tuple(apply(setting.base, change) for change in changes)


POSEMB = Study(
    name="posemb",
    question="Does it matter how, and where, a ViT is told about positions?",
    paper_items=("Table 8", "Figure 7 centre", "Figure 10"),
    claims=("C34",),
    metrics=dict.fromkeys(SETTINGS, "fewshot/5"),
    factors={"posemb": "model.posemb", "posemb_at": "model.posemb_at"},
    build=build,
    figures=("posemb_table", "posemb_similarity"),
)
