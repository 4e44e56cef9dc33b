"""Results: counts, metrics, regret, intervals, and the files that hold them."""
