"""Everything that yields (image, label): sources, subsets, transforms and the endless stream of batches."""
