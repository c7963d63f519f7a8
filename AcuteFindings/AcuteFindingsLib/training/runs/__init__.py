"""Running a recipe: data to arrays, arrays to batches, stages to a fitted network, that to a package with figures."""
