"""How the evaluation's tables are written: CSV with every digit that matters, Markdown and LaTeX to be read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from splitee._internal.files import write_text


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write all columns, six significant digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"), overwrite=True)


def write_readable(table: pd.DataFrame, path: Path, caption: str) -> None:
    """Write a table of texts as Markdown and LaTeX (`path` without its ending)."""
    cells = table.astype(str)
    rule = ["---" if k == 0 else "---:" for k in range(len(cells.columns))]
    rows = [list(cells.columns), rule, *cells.to_numpy().tolist()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    write_text(path.with_suffix(".md"), f"{caption}\n\n" + "\n".join(lines) + "\n", overwrite=True)
    latex = cells.map(_latex).rename(columns=_latex)
    styled = latex.style.hide(axis="index")
    text = styled.to_latex(hrules=True, column_format="l" + "r" * (len(cells.columns) - 1))
    write_text(path.with_suffix(".tex"), f"% {caption}\n{text}", overwrite=True)


_SPECIAL = {
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "−": "--",
    "–": "--",
    "→": r"$\to$",
    "≥": r"$\geq$",
    "Δ": r"$\Delta$",
    "λ": r"$\lambda$",
    "β": r"$\beta$",
    "α": r"$\alpha$",
    "μ": r"$\mu$",
    "⁴": "$^4$",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "<": "$<$",
}


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)


def points(low_mean_high: tuple[float, float, float]) -> str:
    """Write a difference of accuracy in points, with its interval."""
    mean, low, high = (100 * x for x in low_mean_high)
    if low != low or low == high == 0:
        return f"{mean:+.2f}"
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
