"""`python -m splitee` is the command line."""

from splitee.cli import main

main()
