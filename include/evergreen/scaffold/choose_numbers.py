"""What stands before a fraction, where neither a column's values nor the rest of the file tell: asked for by column."""

from evergreen.scaffold.answers import Answers, Ask, Question, UnfitError, settle
from evergreen.scaffold.profile_columns import ColumnFacts, profile_column
from evergreen.scaffold.read_files import HistoryFiles


def choose_numbers(files: HistoryFiles, columns: dict[str, ColumnFacts], given: Answers, ask: Ask) -> list[str]:
    """Settle in which format columns are read that read as different numbers; they are put in place of what they were.

    :param ask: answers a question.
    :returns: what is missing or does not fit.
    """
    answers = {name: decimal for name, _, decimal in (one.rpartition("=") for one in given.decimal)}
    problems = [
        f"--decimal {name}: no such column in {files.names}" for name in answers if name and name not in columns
    ]
    for name, facts in columns.items():
        if len(facts.numbers) < 2 or name in given.drop:
            continue
        types = {one.decimal: one.type for one in facts.numbers}
        told = {
            one.decimal: f"{one.example[0]!r} is {one.example[1]} ({one.declared} in config.yaml)"
            for one in facts.numbers
        }

        def check(decimal: str, name: str = name, valid: str = " or ".join(types)) -> str:
            if decimal not in valid.split(" or "):
                raise UnfitError(f"--decimal {name}={decimal}: does not read {name}; valid: {valid}")
            return decimal

        question = Question(
            f"--decimal {name}=MARK", f"What stands before a fraction in {name}? The values do not tell", told
        )
        try:
            decimal = settle(question, answers.get(name, answers.get("")), check, ask)
        except UnfitError as unfit:
            problems.append(str(unfit))
        else:
            columns[name] = profile_column(files, name, declared=types[decimal])
    return problems
