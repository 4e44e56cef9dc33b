"""Data sets: named tasks, readers of local tables, and the files that come with splitee."""

from pathlib import Path

BUNDLED = Path(__file__).parent
"""Folder of the bundled traces (``NAME.parquet``) and of the bundled checkpoint."""
