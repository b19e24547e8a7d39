"""The studies. One file each; importing this package costs no torch."""

from experiments.posemb import POSEMB
from vitstudy.study.study import Study

STUDIES: dict[str, Study] = {"posemb": POSEMB}
