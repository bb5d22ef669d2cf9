"""docs/judgement.md: each bench writes what it measured between the two marks that bear its name."""

import os
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "judgement.md"
# Whether only a part is measured, to see that a bench still runs: the page is then left alone.
QUICK = os.environ.get("QUICK", "") not in ("", "0")


def write_section(name: str, measured: str) -> None:
    """Print what a bench measured, as Markdown; in its full form also put it on the page."""
    print(measured)
    if QUICK:
        return
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE}: no section {name}; expected the lines {begin.strip()} and {end}")
    PAGE.write_text(pattern.sub(lambda _: f"{begin}\n{measured.strip()}\n\n{end}", page), encoding="utf-8")


def table(columns: list[str], rows: list[list[object]]) -> str:
    """A Markdown table; numbers to four digits."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_tell(cell) for cell in line) + " |" for line in lines)


def _tell(cell: object) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
