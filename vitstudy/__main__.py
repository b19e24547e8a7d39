"""`python -m vitstudy`: the same as the command `vitstudy`."""

from vitstudy.cli import main

main()
