"""Who answers what the files cannot say: a person at the terminal, or nobody but the data."""

import sys

import click

from evergreen.scaffold.answers import Question

_SHOWN = 20


def ask_person(question: Question, problem: str | None) -> str | None:
    """Ask at the terminal; where there is none, nobody answers."""
    if not sys.stdin.isatty():
        return None
    if problem is not None:
        click.echo(problem)
    else:
        click.echo(question.text)
        for name, why in list(question.candidates.items())[:_SHOWN]:
            click.echo(f"    {name}  {why}")
        if len(question.candidates) > _SHOWN:
            click.echo(f"    and {len(question.candidates) - _SHOWN} more")
    answer: str = click.prompt(question.flag, default=question.proposal)
    return answer


def take_proposal(question: Question, problem: str | None) -> str | None:
    """Take what the data propose; what they do not propose, or what did not fit, nobody answers."""
    return question.proposal if problem is None else None
