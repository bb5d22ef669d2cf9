"""The log of answers: kept in memory for seconds, then written into the spool in one file; a challenger's shadow, too.

No request waits for it. What it cannot keep is lost, counted, and said.
"""

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid, Outage
from evergreen.features.answers import as_json, key_texts
from evergreen.foreign_text import one_line
from evergreen.serving.arms import Answered, Arms
from evergreen.serving.champions import ServedVersion
from evergreen.serving.values import Rows
from evergreen.storage.spool import Spool

_logger = logging.getLogger(__name__)
# Rows for which a challenger's shadow is computed at once, and between two writings.
_AT_ONCE, _SHADOWS = 1_000, 20_000
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class LoggedAnswer:
    """One request's answer, as it goes into the log.

    :param request: its id.
    :param arms: who else answers; None where the champion does alone, or a version was asked for by its number.
    """

    request: str
    at: datetime
    served: ServedVersion
    arms: Arms | None
    rows: Rows
    answered: Answered

    def __len__(self) -> int:
        return len(self.answered.predictions)


class AnswerLog:
    """The log of one model's answers in one process.

    :param model: its folder.
    :param at: where the deployment keeps its state.
    :param most_rows: kept in memory; further ones are lost.
    :param spool_mb: megabytes of all files that wait to be taken into the lake; further ones are lost.
    """

    def __init__(self, model: ModelFolder, at: Locations, most_rows: int = 50_000, spool_mb: int = 256) -> None:
        self.model = model
        self.waiting = self.lost = self.unshadowed = self.failed = 0
        self._spool, self._most_rows, self._most_bytes = Spool(at, model.id), most_rows, spool_mb * _MEGABYTE
        self._answers: list[LoggedAnswer] = []
        # Written down, and not yet in the spool: name, content, rows.
        self._files: list[tuple[str, bytes, int]] = []
        self._lock, self._flushing, self._told = threading.Lock(), threading.Lock(), 0
        # Why they could not be written the last time; told once.
        self._outage = ""

    def keys(self, rows: Rows) -> list[str]:
        """The key of each row as one text."""
        return key_texts([rows[name] for name in self.model.config.rows.key])

    def add(self, answer: LoggedAnswer) -> None:
        """Keep an answer that is being sent."""
        with self._lock:
            self.failed += len(answer) if answer.answered.failed else 0
            if self.waiting + len(answer) > self._most_rows:
                self.lost += len(answer)
                return
            self._answers.append(answer)
            self.waiting += len(answer)

    def flush(self) -> None:
        """Write what is kept into the spool; what cannot be written now stays for the next time."""
        with self._flushing:
            with self._lock:
                answers, self._answers = self._answers, []
            if answers:
                self._write_down(answers)
            try:
                self._write()
            except Outage as error:
                if str(error) != self._outage:
                    _logger.warning("model %s: %d answers wait: %s", self.model.id, self.waiting, one_line(str(error)))
                self._outage = str(error)
            else:
                self._outage = ""
            if self.lost > self._told:
                told = "model %s: the log of answers has lost %d rows, %d in all: its buffer or its spool is full"
                _logger.error(told, self.model.id, self.lost - self._told, self.lost)
                self._told = self.lost

    def _write_down(self, answers: list[LoggedAnswer]) -> None:
        """Make a file of answers."""
        count = sum(map(len, answers))
        try:
            shadows = self._shadow(answers)
            lines = [line for answer in answers for line in self._lines(answer, shadows)]
        except Exception:
            _logger.exception("model %s: %d answers could not be written down", self.model.id, count)
            self._drop(count)
            return
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex}.jsonl"
        self._files.append((name, "".join(f"{line}\n" for line in lines).encode(), count))

    def _drop(self, rows: int) -> None:
        with self._lock:
            self.lost += rows
            self.waiting -= rows

    def _write(self) -> None:
        room = self._most_bytes - sum(self._spool.sizes().values()) if self._files else 0
        while self._files:
            name, content, rows = self._files[0]
            if len(content) > room:
                self._drop(rows)
            else:
                self._spool.write(name, content)
                room -= len(content)
                with self._lock:
                    self.waiting -= rows
            del self._files[0]

    def _shadow(self, answers: list[LoggedAnswer]) -> dict[int, np.ndarray | None]:
        """What the challenger would have answered, by the answer's identity; None where it failed.

        Many requests are predicted at once, which takes hardly longer than one.
        """
        shadows: dict[int, np.ndarray | None] = {}
        left = _SHADOWS
        for arms, group in _by_challenger(answers):
            for some in _pieces(group):
                if (count := sum(map(len, some))) > left:
                    self.unshadowed += count
                    continue
                left -= count
                shadows |= self._predict(arms.challenger, some)
        return shadows

    def _predict(self, challenger: ServedVersion, answers: list[LoggedAnswer]) -> dict[int, np.ndarray | None]:
        rows = {name: [one for answer in answers for one in answer.rows[name]] for name in answers[0].rows}
        try:
            predicted = challenger.predict(rows)
        except Outage as error:
            _logger.warning("challenger %s, unseen: %s", challenger.version, one_line(str(error)))
            self.unshadowed += sum(map(len, answers))
            return {}
        except FeaturesInvalid as error:
            if len(answers) > 1:
                # Which request it fails on; the others have their answers.
                return {k: v for answer in answers for k, v in self._predict(challenger, [answer]).items()}
            _logger.error("challenger %s, unseen: %s", challenger.version, one_line(str(error)))
            self.failed += len(answers[0])
            return {id(answers[0]): None}
        ends = np.cumsum([len(answer) for answer in answers])[:-1]
        return {id(answer): piece for answer, piece in zip(answers, np.split(predicted, ends), strict=True)}

    def _lines(self, answer: LoggedAnswer, shadows: dict[int, np.ndarray | None]) -> Iterator[str]:
        """Each row as a line of JSON."""
        answered, names = answer.answered, list(answer.rows)
        shadow = shadows.get(id(answer), np.full(len(answer), np.nan))
        whole = {
            "request_id": answer.request,
            "at": answer.at.isoformat(),
            "online_batch": answer.served.batch,
            "decision": answer.arms.decision if answer.arms is not None else None,
        }
        for row, (key, arm) in enumerate(zip(self.keys(answer.rows), answered.arms, strict=True)):
            values = {name: as_json(answer.rows[name][row]) for name in names}
            line: dict[str, Any] = whole | {"row": row, "key": key, "values": json.dumps(values, ensure_ascii=False)}
            line |= {"version": str(answered.versions[row]), "arm": arm, "prediction": float(answered.predictions[row])}
            seen = float(shadow[row]) if shadow is not None and not np.isnan(shadow[row]) else None
            failed = shadow is None or (answered.failed and arm == "challenger")
            yield json.dumps(line | {"shadow": seen, "failed": failed}, ensure_ascii=False)


def keep_flushing(logs: Iterable[AnswerLog], seconds: float, ended: threading.Event) -> None:
    """Write all logs every so many seconds until it is ended."""
    kept = list(logs)
    while not ended.wait(seconds):
        for log in kept:
            try:
                log.flush()
            except Exception:
                _logger.exception("model %s: the log of answers could not be written", log.model.id)


def _by_challenger(answers: list[LoggedAnswer]) -> Iterator[tuple[Arms, list[LoggedAnswer]]]:
    groups: dict[int, tuple[Arms, list[LoggedAnswer]]] = {}
    for answer in answers:
        if answer.arms is not None and answer.arms.is_shadow:
            groups.setdefault(id(answer.arms.challenger), (answer.arms, []))[1].append(answer)
    yield from groups.values()


def _pieces(answers: list[LoggedAnswer]) -> Iterator[list[LoggedAnswer]]:
    """Answers in groups of so many rows; a larger request stands alone."""
    piece: list[LoggedAnswer] = []
    for answer in answers:
        if piece and sum(map(len, piece)) + len(answer) > _AT_ONCE:
            yield piece
            piece = []
        piece.append(answer)
    if piece:
        yield piece
