"""Field types of config.yaml: percentages, durations, column types."""

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

NUMBER_MARKS = ("decimal", "thousands", "unit")
# Formats of moments that are counted from 1970 on, as GNU date writes them, with the microseconds of one count.
EPOCHS = {"%s": 1_000_000, "%s%3N": 1_000, "%s%6N": 1}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Misfit(ValueError):
    """A mistake whose text says itself what was found; another ``ValueError`` says only what is valid."""


class Contract(BaseModel):
    """A frozen part of config.yaml that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    # Fields of later releases. Not said, they are not written: the hash that is a model's code version rests on it.
    since: ClassVar[set[str]] = set()

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name not in self.since or value}


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


def _require_some(time: timedelta) -> timedelta:
    if not time:
        raise ValueError("valid: a duration above 0s, such as 2h, or forever")
    return time


def _parse_column(value: Any) -> Any:
    """``float`` is short for ``{type: float}``, ``{timestamp: format}`` for a timestamp with its format.

    ``{boolean: {yes: Yes, no: No}}`` is short for ``{type: boolean, yes: Yes, no: No}``.
    """
    if isinstance(value, str):
        return {"type": value}
    if isinstance(value, dict) and set(value) == {"boolean"} and isinstance(value["boolean"], dict):
        return {"type": "boolean", **value["boolean"]}
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("timestamp", "date"):
        kind, form = next(iter(value.items()))
        return {"type": kind, "format": form}
    return value


def _parse_names(value: Any) -> Any:
    """One name is short for a list of one."""
    return (value,) if isinstance(value, str) else value


def _parse_truths(value: Any) -> Any:
    """Texts, of which YAML reads some as truths or numbers."""
    given = value if isinstance(value, list | tuple) else (value,)
    if not given or not all(isinstance(one, str | bool | int | float) and str(one).strip() for one in given):
        raise ValueError("valid: a text, or a list of texts, such as Yes or [Yes, Y]")
    return tuple(str(one).strip() for one in given)


Truths = Annotated[tuple[str, ...], BeforeValidator(_parse_truths)]


class ColumnType(Contract):
    """The declared type of one column, and what stands in for it in data from before it."""

    type: Literal["string", "category", "float", "integer", "boolean", "timestamp", "date"] = Field(
        description="Type of the column; `NAME: float` is short for it."
    )
    format: str | None = Field(
        default=None,
        description="How a timestamp or a date is written, in `strftime`'s directives; it is read in no other way. "
        "Without it, as ISO 8601. `%s` for seconds since 1970 in UTC, `%s%3N` for milliseconds, `%s%6N` for "
        "microseconds. `{timestamp: FORMAT}` for short.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None,
        description="What stands before the fraction of a number in a file's text, as in `12,57`; it is read in no "
        "other way. Without it `.`. What a file states as a number needs none.",
    )
    thousands: Literal[".", ",", " ", "'"] | None = Field(
        default=None,
        description="What stands between groups of three digits in a file's text, as in `1.400`; a group of another "
        "size does not read. Without it nothing may.",
    )
    unit: str | None = Field(
        default=None,
        description="What stands before or behind each number in a file's text, as `$` in `$1,400` and `min` in "
        "`95 min`; without it a number does not read, for it may be of another unit.",
    )
    renamed_from: Annotated[tuple[str, ...], BeforeValidator(_parse_names)] = Field(
        default=(), description="Names that the column had before, the newest first."
    )
    default: Any = Field(
        default=None,
        description="Value of the column in files and batches that do not have it; it may be `null`. A null in a "
        "column that is there stays a null.",
    )
    yes: Truths | None = Field(
        default=None,
        description="Texts or numbers that mean true; case does not count. Without it `true` and `1`. "
        "`{boolean: {yes: Y, no: N}}` for short.",
    )
    no: Truths | None = Field(
        default=None, description="Texts or numbers that mean false; case does not count. Without it `false` and `0`."
    )

    @field_validator("format")
    @classmethod
    def _names_its_parts(cls, form: str | None) -> str | None:
        if form is not None and "%" not in form:
            raise ValueError('valid: a format such as "%Y-%m-%d %H:%M:%S", or none for ISO 8601')
        if form is not None and form not in EPOCHS:
            try:
                datetime.strptime(datetime(2024, 2, 29, tzinfo=UTC).strftime(form), form)
            except (ValueError, re.error) as error:
                raise Misfit(f"found {form!r}: {error}; valid: a format of strftime's directives") from error
        return form

    @model_validator(mode="after")
    def _default_has_the_type(self) -> Self:
        if self.has_default:
            _ = self.filler
        return self

    @model_validator(mode="after")
    def _tells_yes_from_no(self) -> Self:
        if self.yes is None and self.no is None:
            return self
        if self.type != "boolean":
            raise Misfit(f"yes, no: found beside {self.type}; valid: for a boolean alone")
        if self.yes is None or self.no is None:
            raise Misfit(f"found yes {self.yes}, no {self.no}; valid: both, such as {{boolean: {{yes: Y, no: N}}}}")
        both = {one.lower() for one in self.yes} & {one.lower() for one in self.no}
        if both:
            raise Misfit(f"yes, no: found {', '.join(sorted(both))} in both (case does not count); valid: in one")
        return self

    @model_validator(mode="after")
    def _marks_a_number(self) -> Self:
        if self.writes_numbers and self.type not in ("float", "integer"):
            raise Misfit(f"decimal, thousands, unit: found beside {self.type}; valid: for a float or an integer")
        if self.thousands == (self.decimal or "."):
            raise Misfit(f"found {self.thousands!r} for thousands and for decimal; valid: another for one of them")
        if self.unit is not None and not re.fullmatch(r"[^\s\d.,'+-]([^\d]*[^\s\d.,'+-])?", self.unit):
            raise Misfit(f"found {self.unit!r} for unit; valid: a text without digits, signs and marks around it, as $")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A column that says none of the rest is written as ever: the hash that is a model's code version rests on it.
        said = {"type", "format", *(["renamed_from"] if self.renamed_from else []), *(["default"] * self.has_default)}
        said |= {"yes", "no"} if self.yes else set()
        said |= {name for name in NUMBER_MARKS if getattr(self, name) is not None}
        return {name: value for name, value in dump(self).items() if name in said}

    @property
    def has_default(self) -> bool:
        """Whether a default was given; it may be null."""
        return "default" in self.model_fields_set

    @property
    def truths(self) -> dict[str, bool]:
        """What each text of a boolean means, in lower case."""
        yes, no = self.yes or ("true", "1"), self.no or ("false", "0")
        return {one.lower(): True for one in yes} | {one.lower(): False for one in no}

    @property
    def writes_numbers(self) -> bool:
        """Whether numbers are written in a form of their own."""
        return any(getattr(self, name) is not None for name in NUMBER_MARKS)

    @property
    def epoch(self) -> int | None:
        """Microseconds of one count, where moments are counted from 1970 on."""
        return EPOCHS.get(self.format or "")

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
        raise Misfit(f"default: found {given!r} for {self.type}; valid: a {self.type}, or null")


def _moment(given: str | date, kind: str) -> date:
    """A default's moment: a date, or a timestamp in UTC."""
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise Misfit(f"default: found {given!r} for {kind}; valid: ISO 8601, such as 2024-01-31") from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.date() if kind == "date" else moment


Percent = Annotated[float, BeforeValidator(_parse_percent)]
Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
Limit = Annotated[Duration, AfterValidator(_require_some)]
HOUR = timedelta(hours=1)
Column = Annotated[ColumnType, BeforeValidator(_parse_column)]
