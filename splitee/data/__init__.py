"""Data: tasks by name, the reader of tables that people bring, and the files that come with splitee."""

from pathlib import Path

BUNDLED = Path(__file__).parent
"""The folder of the bundled traces (``NAME.parquet``) and of the bundled checkpoint."""
