"""EE-Bench: policies on sealed traces, streams and costs, in one table that others can cite."""
