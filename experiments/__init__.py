"""The studies. One file each; importing this package costs no torch."""

from experiments.compute import COMPUTE
from experiments.data_scale import DATA_SCALE
from experiments.posemb import POSEMB
from experiments.resolution import RESOLUTION
from experiments.shape import SHAPE
from experiments.timing import TIMING
from vitstudy.study.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (POSEMB, DATA_SCALE, RESOLUTION, COMPUTE, SHAPE, TIMING)}
