"""The live pair: a device and a cloud that do what a replay says."""
