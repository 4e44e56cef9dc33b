"""Print constraints-lowest.txt: the lowest versions that pyproject.toml admits."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADER = """\
# The lowest versions of the core's direct dependencies that pyproject.toml admits; `make lowest` tests them.
# Written by: python tests/support/lowest.py > constraints-lowest.txt
"""


def constraints() -> str:
    """Return one line ``name==version`` per direct dependency of the core."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\d.]+)", entry) for entry in project["dependencies"]]
    assert all(bounds), "every dependency of the core has a lower bound and nothing else"
    return HEADER + "".join(f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound)


if __name__ == "__main__":
    print(constraints(), end="")
