"""Figures, one subject per module."""
