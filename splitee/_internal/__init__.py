"""Helpers that every package uses: the one exception, files, compiled functions, Ray. Not public."""
