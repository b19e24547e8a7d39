"""What should be run: specs, their identity, grids, studies and plans. Pydantic and the standard library only."""
