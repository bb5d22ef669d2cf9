"""What the files cannot say: key, event time, target, length of batches. Proposed, asked for, held against the data."""

import difflib
from collections.abc import Callable

from evergreen.batches import Every
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import SHOWN, Answers, Ask, Chosen, Question, T, Task, UnfitError, settle
from evergreen.scaffold.assign_batches import EVERY, propose_every
from evergreen.scaffold.choose_numbers import choose_numbers
from evergreen.scaffold.find_keys import COPIES, count_copies, find_keys, tell_key
from evergreen.scaffold.profile_columns import ColumnFacts, profile_column, read_as_dates
from evergreen.scaffold.read_dates import DateReading
from evergreen.scaffold.read_files import HistoryFiles
from evergreen.scaffold.read_truths import name_truths
from evergreen.scaffold.tell_mending import find_date_parts, write_mending

# An event time or a key that is missing more often is none.
_MISSING = 0.01


class Chooser:
    """Takes the answers that were given, asks for the others, and collects all that is wrong with them.

    :param ask: answers a question.
    """

    def __init__(self, files: HistoryFiles, columns: dict[str, ColumnFacts], given: Answers, ask: Ask) -> None:
        self.files, self.columns, self.given, self.ask = files, columns, given, ask
        self.problems: list[str] = []
        self.remarks: dict[str, str] = {}
        self.parts = find_date_parts(columns)
        self.lacks_key = self.lacks_time = False

    def choose(self) -> Chosen:
        """The answers.

        :raises FolderNotWritten: with all that is missing or does not fit, and the lines that mend the files.
        """
        self.problems += choose_numbers(self.files, self.columns, self.given, self.ask)
        event = self._note(self._choose_event)
        target = self._note(lambda: self._choose_target(event))
        key = self._note(lambda: self._choose_key(target))
        task = self._note(lambda: self._choose_task(target)) if target is not None else None
        every = self._note(lambda: self._choose_every(event))
        parts = self.parts if self.lacks_time else None
        self._note(self._check_columns)
        if self.lacks_key or parts:
            script = write_mending(self.files, parts, self.lacks_key)
            self.problems.append(f"These lines write the history anew with what it lacks:\n\n{script}\n")
        if self.problems or event is None or target is None or key is None or task is None or every is None:
            raise FolderNotWritten(self.problems)
        return Chosen(key, event, target, every, task, self.remarks)

    def _note(self, choose: Callable[[], T]) -> T | None:
        try:
            return choose()
        except UnfitError as unfit:
            self.problems.append(str(unfit))
            return None

    def _settle(self, question: Question, given: str | None, check: Callable[[str], T]) -> T:
        return settle(question, given, check, self.ask)

    def _choose_event(self) -> ColumnFacts:
        dates = {
            name: f"{facts.readings[0].form or 'ISO 8601'}: {facts.readings[0].evidence}"
            if facts.readings
            else "a time"
            for name, facts in self.columns.items()
            if facts.is_date and not facts.left_out and facts.missing + facts.failed <= _MISSING * facts.rows
        }
        if self.parts is not None and any(self.parts.agree(self.columns, self.columns[name].values) for name in dates):
            self.parts = None
        text = "Which column says when a row happened?"
        if self.parts is not None:
            text += f" (A date also stands in {self.parts}: if that is it, put them together first.)"
            self.lacks_time = self.given.event_time is None
        if self.given.event_time is None and not dates:
            hint = f"; {self.parts} are parts of one" if self.parts else "; write one into the files"
            raise UnfitError(f"--event-time: no column reads as dates{hint}")
        proposal = next(iter(dates)) if len(dates) == 1 and self.parts is None else None
        question = Question("--event-time", text, dates, proposal)
        event = self._settle(question, self.given.event_time, self._check_event)
        self.lacks_time = False
        distinct = event.values.nunique()
        if event.rows / 2 <= distinct < event.rows - event.missing - event.failed:
            again = event.rows - event.missing - event.failed - distinct
            self.remarks[event.name] = f"{again:,} of {event.rows:,} rows have the time of an earlier row"
        if self.parts is not None:
            told = f"a date also stands in {self.parts}: see that this one is when the row happens"
            self.remarks[event.name] = "; ".join(filter(None, (self.remarks.get(event.name), told)))
        return event

    def _check_event(self, name: str) -> ColumnFacts:
        facts = self._column(name, "--event-time")
        readings = facts.readings if facts.is_date else read_as_dates(self.files, name)
        if not facts.is_date and not readings:
            example = next((text for text in self.files.texts[name] if text not in self.files.nulls), "")
            raise UnfitError(f"--event-time {name}: {example!r} does not read as a date; write it such as 2024-01-31")
        if readings:
            reading = self._choose_format(name, readings)
            facts = profile_column(self.files, name, reading)
        if facts.missing + facts.failed > _MISSING * facts.rows:
            lost = f"{facts.missing:,} of {facts.rows:,} rows have none, {facts.failed:,} do not read"
            raise UnfitError(f"--event-time {name}: {lost}; name a column that every row has")
        return facts

    def _choose_format(self, name: str, readings: tuple[DateReading, ...]) -> DateReading:
        forms = {reading.form or "": reading for reading in readings}
        if len(forms) == 1 and self.given.date_format is None:
            return readings[0]
        evidence = {form: f"rows step back in time in {reading.order:.1%}" for form, reading in forms.items()}

        def check(form: str) -> DateReading:
            if form not in forms:
                valid = ", ".join(f'"{form}"' for form in forms)
                raise UnfitError(f'--date-format "{form}": does not read {name}; formats that read all of it: {valid}')
            return forms[form]

        text = f"How are the dates in {name} written? The values do not tell"
        return self._settle(Question("--date-format", text, evidence), self.given.date_format, check)

    def _choose_target(self, event: ColumnFacts | None) -> ColumnFacts:
        taken = {*self.given.key, event.name if event else None}
        candidates = {
            name: f"{facts.distinct:,} values"
            for name, facts in self.columns.items()
            if name not in taken
            and not facts.left_out
            and not (facts.unique and facts.type is not None and facts.type.type == "integer")
            and (facts.is_number or (facts.type is not None and facts.type.type == "boolean"))
        }
        question = Question("--target", "Which column is to be predicted?", candidates)
        return self._settle(question, self.given.target, lambda name: self._check_target(name, event))

    def _check_target(self, name: str, event: ColumnFacts | None) -> ColumnFacts:
        facts = self._column(name, "--target")
        if event is not None and name == event.name:
            raise UnfitError(f"--target {name}: is the event time; name another column")
        if facts.distinct < 2:
            raise UnfitError(f"--target {name}: holds one value alone; there is nothing to learn")
        if facts.is_date:
            raise UnfitError(f"--target {name}: holds dates; write what is to be predicted as a number, such as days")
        if facts.type is not None and facts.type.type == "boolean":
            return facts
        if facts.is_number and (facts.distinct > 2 or self.given.task == "regression"):
            return facts
        if facts.is_number and set(facts.values.dropna()) == {0, 1}:
            return facts
        if facts.distinct > 2:
            valid = "a number, or one of two values"
            why = f"{facts.left_out.why}; it" if facts.left_out else "it"
            raise UnfitError(f"--target {name}: {why} is text of {facts.distinct:,} values; valid: {valid}")
        return self._read_as_truths(facts)

    def _read_as_truths(self, facts: ColumnFacts) -> ColumnFacts:
        texts = self.files.texts[facts.name]
        held = ~texts.isin(self.files.nulls)
        numbers = facts.values[held] if facts.is_number else None
        declared, self.remarks[facts.name] = name_truths(texts[held], numbers)
        return profile_column(self.files, facts.name, declared=declared)

    def _check_columns(self) -> None:
        for flag, names in (("--keep", self.given.keep), ("--drop", self.given.drop)):
            for name in names:
                self._column(name, flag)
        both = set(self.given.keep) & set(self.given.drop)
        if both:
            raise UnfitError(f"--keep and --drop name {', '.join(sorted(both))}; say one of them")
        needed = {*self.given.key, self.given.event_time, self.given.target} & set(self.given.drop)
        if needed:
            raise UnfitError(f"--drop {', '.join(sorted(map(str, needed)))}: is key, event time or target; keep it")

    def _choose_key(self, target: ColumnFacts | None) -> tuple[str, ...]:
        if self.given.key:
            return self._check_key("\n".join(self.given.key), target)
        found, copies = find_keys(self.files, self.columns, {target.name if target else ""})
        if not found:
            self.lacks_key = True
            told = f"{copies:,} of {len(self.files.texts):,} rows are copies of another row in every column; "
            raise UnfitError(
                f"--key: {told if copies else ''}no column, and no two or three together, name a row. Let whoever "
                "sends the rows number them, and never anew: every later batch has to bring a number of its own"
            )
        named = {", ".join(key): tell_key(self.files, key) for key in found}
        asked = Question("--key", "Which columns together name a row?", named, next(iter(named)))
        return self._settle(asked, None, lambda text: self._check_key(text, target))

    def _check_key(self, text: str, target: ColumnFacts | None) -> tuple[str, ...]:
        names: list[str] = []
        for part in text.split("\n"):
            # A column may have a comma in its name.
            names += [part] if part in self.columns else [name.strip() for name in part.split(",")]
        key = tuple(dict.fromkeys(names))
        for name in key:
            facts = self._column(name, "--key")
            if target is not None and name == target.name:
                raise UnfitError(f"--key {name}: is the target; name another column")
            if facts.missing > _MISSING * facts.rows:
                raise UnfitError(f"--key {name}: {facts.missing:,} of {facts.rows:,} rows have none")
        copies, rows = count_copies(self.files, key), self.files.rows.num_rows
        differ = copies.all - copies.equal
        if differ > COPIES * rows:
            raise UnfitError(
                f"--key {', '.join(key)}: {differ:,} of {rows:,} rows have the key of another row and differ from it, "
                f"such as {copies.example}; add a column that tells them apart"
            )
        if copies.all:
            told = f"{copies.all:,} of {rows:,} rows have the key of another: they will go to quarantine"
            more = f", such as {copies.example}; if they are sound, let the sender number the rows"
            self.remarks[key[0]] = told + (more if differ else "; each equals the other in every column")
        return key

    def _choose_task(self, target: ColumnFacts | None) -> Task:
        assert target is not None
        two = target.type is not None and (target.type.type == "boolean" or set(target.values.dropna()) == {0, 1})
        if self.given.task == "classification" and not two:
            raise UnfitError(f"--task classification: {target.name} has {target.distinct:,} values; valid: 0 and 1")
        if self.given.task == "regression" and target.type is not None and target.type.type == "boolean":
            raise UnfitError(f"--task regression: {target.name} is true or false; valid: classification")
        return self.given.task or ("classification" if two else "regression")

    def _choose_every(self, event: ColumnFacts | None) -> Every:
        told, proposal = propose_every(event.values) if event is not None else (dict.fromkeys(EVERY, ""), None)
        question = Question("--every", "How long is a batch?", {str(k): v for k, v in told.items()}, proposal)

        def check(text: str) -> Every:
            for every in EVERY:
                if every == text:
                    return every
            raise UnfitError(f"--every {text}: valid: {', '.join(EVERY)}")

        return self._settle(question, self.given.every, check)

    def _column(self, name: str, flag: str) -> ColumnFacts:
        if name not in self.columns:
            close = difflib.get_close_matches(name, list(self.columns), n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {_some(list(self.columns))}"
            if "," in name:
                hint = f"{flag} takes one column, and may be given once for each"
            raise UnfitError(f"{flag} {name}: no such column in {self.files.names}; {hint}")
        facts = self.columns[name]
        if flag != "--drop" and facts.left_out is not None and facts.left_out.kind == "header":
            raise UnfitError(f"{flag} {name}: {facts.left_out.why}")
        return facts


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
