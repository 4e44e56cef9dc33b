"""Figures, one subject a file."""
