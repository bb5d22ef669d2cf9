"""Texts of the user's own, written so that YAML, Python and comments take them, whatever they hold."""

from typing import Any

import yaml


def flow(value: Any) -> str:
    """A value as YAML writes it on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


def quoted(text: str) -> str:
    """A text as Python code, in double quotes where they need no escape; YAML reads it alike for a plain text."""
    return f'"{repr(chr(39) + text)[2:]}' if '"' not in text else repr(text)


def behind(comment: str) -> str:
    """A comment that stands behind something on its line."""
    return f"   # {prose(comment)}" if comment else ""


def prose(text: str) -> str:
    """A text that can stand in a comment or a docstring, whatever a column is called."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(plain.replace("\\", "/").replace('"', "'").split())
