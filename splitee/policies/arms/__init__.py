"""Bandit learners of the field whose arms are layers to split at: one file a family, each with its sources.

`rounds` has what they share: a round in a `World`, and the device loop.
"""
