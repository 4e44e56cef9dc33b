"""What every room uses: the one exception, files, compiled functions, Ray. Not part of the interface."""
