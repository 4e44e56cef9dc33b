"""Replay: policies over a trace, in several orders of its samples."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """``splitee.replay`` names this package and the function `splitee.replay.replay.replay`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from splitee.replay.replay import replay

        return replay(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
