"""Who answers what the files cannot say: a person at the terminal, or nobody but the data."""

import sys

import click

from evergreen.foreign_text import one_line
from evergreen.scaffold.answers import Question
from evergreen.terminal import say

_SHOWN = 20


def ask_person(question: Question, problem: str | None) -> str | None:
    """Ask at the terminal; where there is none, nobody answers."""
    if not sys.stdin.isatty():
        return None
    if problem is not None:
        say(problem)
    else:
        say(question.text)
        for name, why in list(question.candidates.items())[:_SHOWN]:
            say(f"    {name}  {why}")
        if len(question.candidates) > _SHOWN:
            say(f"    and {len(question.candidates) - _SHOWN} more")
    asked = f"{question.flag} [{one_line(question.proposal)}]" if question.proposal else question.flag
    answer: str = click.prompt(asked, default=question.proposal, show_default=False)
    return answer


def take_proposal(question: Question, problem: str | None) -> str | None:
    """Take what the data propose; what they do not propose, or what did not fit, nobody answers."""
    return question.proposal if problem is None else None
