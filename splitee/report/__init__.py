"""Reports on results, made to be shown: figures (matplotlib, imported only here)."""
