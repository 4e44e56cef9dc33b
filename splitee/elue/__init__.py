"""The ELUE benchmark: score performance against FLOPs, from files alone."""
