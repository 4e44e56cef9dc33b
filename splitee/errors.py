"""The one exception of bad input."""


class InputError(ValueError):
    """Input that cannot be used: one line saying what, where and how to mend it.

    The command line prints the line and exits with code 2. Anything else that is raised is a bug.
    """
