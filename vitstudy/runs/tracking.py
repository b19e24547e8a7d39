"""Placeholder."""


def available():
    return False
