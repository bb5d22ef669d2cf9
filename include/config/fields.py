"""Field types of config.yaml: percentages, durations, file patterns, column types."""

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_BATCH = re.compile(r"\{batch:([^}]+)\}")
_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%j": r"\d{3}",
}


class Contract(BaseModel):
    """A frozen part of config.yaml that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _parse_percent(value: Any) -> Any:
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?\s*%", text):
        return float(text.rstrip("% ")) / 100
    if isinstance(value, bool) or not re.fullmatch(r"0?\.\d+|[01](\.0+)?|\d+(\.\d+)?e-\d+", text):
        raise ValueError("valid: a percentage such as 2%, or a fraction such as 0.02")
    return float(text)


def _parse_duration(value: Any) -> Any:
    if value == "forever":
        return timedelta.max
    if not isinstance(value, timedelta):
        found = re.fullmatch(r"(\d{1,5})\s*([smhd])", str(value))
        if not found:
            raise ValueError("valid: a duration such as 30s, 10m, 6h or 2d, or forever")
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    return value


def _parse_pattern(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError("valid: a file pattern below the landing folder, without / before it and .. in it")
        if len(_BATCH.findall(value)) != 1:
            raise ValueError("valid: a file pattern with the batch in it once, such as trips_{batch:%Y-%m-%d}*.csv")
        return FilePattern(value)
    if not isinstance(value, FilePattern):
        raise ValueError("valid: a text, a file pattern such as trips_{batch:%Y-%m-%d}*.csv")
    return value


def _parse_column(value: Any) -> Any:
    """``float`` is short for ``{type: float}``, ``{timestamp: format}`` for a timestamp with its format."""
    if isinstance(value, str):
        return {"type": value}
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("timestamp", "date"):
        kind, form = next(iter(value.items()))
        return {"type": kind, "format": form}
    return value


def fill_batch(text: str, moment: datetime) -> str:
    """Put a batch's start into the ``{batch:…}`` of a text."""
    return _BATCH.sub(lambda found: moment.strftime(found[1]), text)


class FilePattern:
    """A file name with the batch in it, such as ``trips_{batch:%Y-%m-%d}*.csv``; ``*`` stands for anything.

    :param text: the pattern as config.yaml writes it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._seen: dict[str, datetime | None] = {}
        before, self._date, after = _BATCH.split(text)
        date = re.escape(self._date)
        for directive, digits in _DIRECTIVES.items():
            date = date.replace(directive, digits)
        if "%" in date or any(self._date.count(directive) > 1 for directive in _DIRECTIVES):
            raise ValueError(f"valid in {{batch:…}}: {' '.join(_DIRECTIVES)}, each once")
        fixed = [re.escape(part).replace(r"\*", "[^/]*") for part in (before, after)]
        self._regex = re.compile(rf"{fixed[0]}({date}){fixed[1]}\Z")

    def moment_of(self, name: str) -> datetime | None:
        """The date that a file name carries (naive), or None where it does not fit the pattern."""
        # A landing folder is listed several times a batch, and may hold years of names.
        if name not in self._seen:
            self._seen[name] = self._read(name)
        return self._seen[name]

    def _read(self, name: str) -> datetime | None:
        found = self._regex.match(name)
        if not found:
            return None
        try:
            return datetime.strptime(found[1], self._date)
        except ValueError:
            return None

    def tells(self, every: str) -> bool:
        """Whether its date is fine enough to tell one batch from the next."""
        said = set(_DIRECTIVES) & {self._date[i : i + 2] for i in range(len(self._date))}
        day = "%j" in said or {"%m", "%d"} <= said
        hour = day and "%H" in said
        fine = {"minute": hour and "%M" in said, "hour": hour, "month": "%m" in said or "%j" in said}.get(every, day)
        return fine and bool(said & {"%Y", "%y"})

    def name_for(self, moment: datetime) -> str:
        """The plainest file name that stands for a batch: every ``*`` left empty."""
        return fill_batch(self.text, moment).replace("*", "")

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilePattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _parse_names(value: Any) -> Any:
    """One name is short for a list of one."""
    return (value,) if isinstance(value, str) else value


class ColumnType(Contract):
    """The declared type of one column, and what stands in for it in data from before it; ISO 8601 without a format.

    ``renamed_from`` lists the names that it had before, the newest first. ``default`` fills it where it is absent
    altogether; a null in a column that is there stays a null.
    """

    type: Literal["string", "category", "float", "integer", "boolean", "timestamp", "date"]
    format: str | None = None
    renamed_from: Annotated[tuple[str, ...], BeforeValidator(_parse_names)] = ()
    default: Any = None

    @field_validator("format")
    @classmethod
    def _names_its_parts(cls, form: str | None) -> str | None:
        if form is not None and "%" not in form:
            raise ValueError('valid: a format such as "%Y-%m-%d %H:%M:%S", or none for ISO 8601')
        if form is not None:
            try:
                datetime.strptime(datetime(2024, 2, 29, tzinfo=UTC).strftime(form), form)
            except (ValueError, re.error) as error:
                raise ValueError(f"found {form!r}: {error}; valid: a format of strftime's directives") from error
        return form

    @model_validator(mode="after")
    def _default_has_the_type(self) -> Self:
        if self.has_default:
            _ = self.filler
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A column that says neither is written as ever: the hash that is a model's code version rests on it.
        said = {"type", "format", *(["renamed_from"] if self.renamed_from else []), *(["default"] * self.has_default)}
        return {name: value for name, value in dump(self).items() if name in said}

    @property
    def has_default(self) -> bool:
        """Whether a default was given; it may be null."""
        return "default" in self.model_fields_set

    @property
    def kind(self) -> str:
        """The type as it is stored; a category is text."""
        return "string" if self.type == "category" else self.type

    @property
    def filler(self) -> bool | int | float | str | date | None:
        """The default as a value of the declared type."""
        given = self.default
        if given is None:
            return None
        match self.type:
            case "string" | "category" if isinstance(given, str):
                return given
            case "boolean" if isinstance(given, bool):
                return given
            case "integer" if isinstance(given, int) and not isinstance(given, bool):
                return given
            case "float" if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
                return float(given)
            case "timestamp" | "date" if isinstance(given, str | date):
                return _moment(given, self.type)
        raise ValueError(f"default: found {given!r} for {self.type}; valid: a {self.type}, or null")


def _moment(given: str | date, kind: str) -> date:
    """A default's moment: a date, or a timestamp in UTC."""
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise ValueError(f"default: found {given!r} for {kind}; valid: ISO 8601, such as 2024-01-31") from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.date() if kind == "date" else moment


def _parse_encoding(value: Any) -> Any:
    try:
        # Some of Python's codecs are for bytes alone.
        "x".encode(value)
    except (LookupError, TypeError, UnicodeError) as error:
        raise ValueError("valid: an encoding that Python knows, such as utf-8 or latin-1") from error
    return value


def _parse_delimiter(value: Any) -> Any:
    if not (isinstance(value, str) and len(value) == 1 and value.isascii()) or value.isalnum() or value in '"\r\n\0.+-':
        raise ValueError('valid: one character that stands in no value, such as , ; | or "\\t"')
    return value


Delimiter = Annotated[str, BeforeValidator(_parse_delimiter)]
Encoding = Annotated[str, BeforeValidator(_parse_encoding)]
Percent = Annotated[float, BeforeValidator(_parse_percent)]
Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
Pattern = Annotated[FilePattern, BeforeValidator(_parse_pattern), PlainSerializer(str)]
Column = Annotated[ColumnType, BeforeValidator(_parse_column)]
