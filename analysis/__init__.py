"""Figures and tables, drawn from `vitstudy.results`; `paper/` holds the published numbers."""
