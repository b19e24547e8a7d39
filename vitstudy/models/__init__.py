"""The networks, on timm's building blocks; the only place that imports timm."""
