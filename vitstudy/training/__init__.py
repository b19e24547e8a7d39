"""How a network is trained; the only place that imports Lightning."""
