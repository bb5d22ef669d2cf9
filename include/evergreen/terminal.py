"""The terminal: what commands say, and the log that they show."""

import logging
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from evergreen.foreign_text import for_terminal, one_line


class Terminal(Console):
    """A console that shows text as it is: brackets and colons are no markup, control characters stand as escapes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text of whatever is printed, of a table's cells too."""
        return super().render_str(for_terminal(text), **options)


console = Terminal()


def say(line: str) -> None:
    """Print one line; line ends within it stand as escapes."""
    console.print(one_line(line))


def make_progress(to: Console = console) -> Progress:
    """A bar with its count and the time that has passed."""
    description = TextColumn("{task.description}", markup=False)
    return Progress(description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=to)


def set_up_log(verbose: bool) -> None:
    """Tell errors alone, or every step."""
    shown = logging.StreamHandler()
    shown.setFormatter(_Lines("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, handlers=[shown])
    for noisy in ("alembic", "mlflow", "great_expectations"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.ERROR)


class _Lines(logging.Formatter):
    """A message is one line; the lines of a traceback stay lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return for_terminal(super().format(record))
