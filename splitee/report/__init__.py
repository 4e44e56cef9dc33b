"""Reports on results: tables, remarks, figures (matplotlib is imported only here) and one HTML page."""
