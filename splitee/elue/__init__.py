"""ELUE: performance against FLOPs, scored from files alone."""
