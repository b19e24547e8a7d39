"""Re-run the studies of the ViT paper (arXiv 2010.11929) at the size your machine allows."""

__version__ = "0.1.0"
