"""Where rows and labels come from: files in a folder or an object store, or a query a batch."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from evergreen.config.fields import Column, Contract, Delimiter, Duration, Encoding, Misfit, Percent
from evergreen.config.patterns import FilePattern, Pattern, fill_batch


class CompleteConfig(Contract):
    """What makes a batch's files complete: a marker file, a declared count, or sizes that stay the same."""

    marker: str | None = None
    count: Annotated[int, Field(gt=0)] | None = None
    stable: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.marker and self.count:
            raise ValueError("valid: one of marker, count, stable")
        return self


def check_marker(files: FilePattern, complete: CompleteConfig) -> None:
    """Refuse one marker that would complete every batch at once."""
    in_folders = "/" in files.text.partition("}")[2]
    if complete.marker and "{batch:" not in complete.marker and not in_folders:
        raise Misfit(
            f"complete.marker: found {complete.marker!r} beside the files of every batch; valid: a name with the batch "
            "in it, such as _SUCCESS_{batch:%Y-%m-%d}, or files in one folder a batch"
        )
    sample = datetime(2000, 1, 1)
    beside = files.name_for(sample).rpartition("/")
    if complete.marker and files.moment_of("".join(beside[:2]) + fill_batch(complete.marker, sample)) is not None:
        raise Misfit(
            f"complete.marker: found {complete.marker!r}, which fits the file pattern itself; valid: a name that the "
            f"pattern {files.text} does not fit"
        )


class FilesConfig(Contract):
    """Files that arrive in the landing folder or in ``location``, and how they are written."""

    files: Pattern
    location: str | None = None
    complete: CompleteConfig = CompleteConfig()
    wait: Duration = timedelta(hours=6)
    late: Annotated[int, Field(ge=0)] = 31
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"
    nulls: tuple[str, ...] = ("",)

    @field_validator("location")
    @classmethod
    def _is_a_place(cls, location: str | None) -> str | None:
        if location is not None and not location.startswith(("/", "s3://", "gs://", "az://", "file://")):
            raise ValueError("valid: a URI such as s3://bucket/prefix, or an absolute folder; none: EVERGREEN_LANDING")
        return location

    @model_validator(mode="after")
    def _marker_belongs_to_a_batch(self) -> Self:
        check_marker(self.files, self.complete)
        return self


class AnsweredConfig(Contract):
    """What makes a batch's query ready, beside its batch's end: the first value that this one returns is true."""

    sql: str


class QueryConfig(Contract):
    """A query a batch; ``:start``, ``:end`` (in UTC) and ``:batch`` (its name) stand for the batch.

    ``database`` names the environment variable with the database's SQLAlchemy URL: credentials never stand here.
    """

    sql: str
    database: str
    complete: AnsweredConfig | None = None
    wait: Duration = timedelta(hours=6)
    nulls: tuple[str, ...] = ("",)

    @field_validator("database")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("valid: the name of an environment variable that holds a SQLAlchemy URL, such as TRIPS_DB")
        return name

    @field_validator("sql")
    @classmethod
    def _is_about_a_batch(cls, sql: str) -> str:
        if not re.search(r"(?<!:):(start|end|batch)\b", sql):
            raise ValueError("valid: a query with :start and :end, or :batch, in it; it is asked once for each batch")
        return sql


class LabelsInside(Contract):
    """Labels that stand inside the rows; a missing one is not known yet."""

    target: dict[str, Column] = Field(min_length=1, max_length=1)
    max_quarantined: Percent = 0.5

    @property
    def column(self) -> str:
        """Name of the target."""
        return next(iter(self.target))


class LabelFeed(LabelsInside):
    """A feed of its own: ``max_delay`` says how many batches a label may come after its row.

    An older row's label is counted as unmatched.
    """

    key: tuple[str, ...] = ()
    max_delay: Annotated[int, Field(ge=0)] = 90
    wait: Duration = timedelta(hours=12)


class LabelFiles(LabelFeed, FilesConfig):
    """Labels in files of their own."""


class LabelQuery(LabelFeed, QueryConfig):
    """Labels by a query of their own."""


_OF_A_SOURCE = {*FilesConfig.model_fields, *QueryConfig.model_fields}


def _parse_sources(value: Any) -> Any:
    """``source: {trips: {files: …}}`` gives a source a name; so far a model has one."""
    is_named = isinstance(value, dict) and value and not _OF_A_SOURCE & set(value)
    if is_named and all(isinstance(one, dict) for one in value.values()):
        if len(value) > 1:
            named = ", ".join(str(name) for name in value)
            raise Misfit(f"found {len(value)} sources: {named}; valid: one so far, joined before it lands")
        return next(iter(value.values()))
    return value


def _form(value: Any) -> str:
    """Which form a feed has, told apart by hand: a mistake in one is not answered for all."""
    if isinstance(value, Contract):
        return "query" if isinstance(value, QueryConfig) else "files" if isinstance(value, FilesConfig) else "inside"
    if not isinstance(value, dict):
        return "none"
    return "query" if "sql" in value else "files" if "files" in value else "inside"


def _parse_absence(value: Any) -> None:
    """``labels: none``, in so many words: a field that was left empty is a mistake."""
    if value != "none":
        raise ValueError("valid: 'none'")


def _form_of_source(value: Any) -> str:
    return "query" if _form(value) == "query" else "files"


Source = Annotated[
    Annotated[
        Annotated[FilesConfig, Tag("files form")] | Annotated[QueryConfig, Tag("query form")],
        Discriminator(lambda value: f"{_form_of_source(value)} form"),
    ],
    BeforeValidator(_parse_sources),
]
Labels = Annotated[
    Annotated[None, BeforeValidator(_parse_absence), Tag("none form")]
    | Annotated[LabelsInside, Tag("inside form")]
    | Annotated[LabelFiles, Tag("files form")]
    | Annotated[LabelQuery, Tag("query form")],
    Discriminator(lambda value: f"{_form(value)} form"),
]
