"""The one exception of bad input, and how it names what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used: one line saying what, where and how to mend it.

    The command line prints the line and exits with code 2. Anything else that is raised is a bug.
    """


def there_are(name: object, known: Iterable[str]) -> str:
    """Say what a name that is none was nearest to, and which names there are.

    Examples
    --------
    >>> there_are("sst2", ["sst-2", "imdb"])
    'did you mean sst-2? there are sst-2, imdb'
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there are {', '.join(names)}"
