"""Where rows and labels come from: files in a folder or an object store, or a query a batch."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from evergreen.config.fields import Column, Contract, Duration, Misfit, Percent
from evergreen.config.patterns import FilePattern, Pattern, fill_batch

_WAIT = (
    "Time from the batch's end after which a batch that is not complete is declared missing; `forever` never gives up. "
    "Files of which only the second look at their sizes is wanting are waited for."
)
_NULLS = "Texts that mean missing."
QUARANTINED = "Share of failing rows above which the batch is rejected; above half of it an incident is opened."


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


class CompleteConfig(Contract):
    """What makes a batch's files complete: a marker file, a declared count, or sizes that stay the same."""

    marker: str | None = Field(default=None, description="Name of the file that says that the others are complete.")
    count: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="Number of files that complete a batch."
    )
    stable: Duration = Field(
        default=timedelta(seconds=30),
        description="Time over which the sizes of the files stay the same; it counts where `marker` and `count` are "
        "not given.",
    )

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

    files: Pattern = Field(
        description="Names of a batch's files, below `location`. CSV, JSON Lines (`.jsonl`, `.ndjson`) or Parquet, "
        "each also `.gz`."
    )
    location: str | None = Field(
        default=None,
        description="Folder or URI where the files lie, such as `s3://bucket/prefix`; without it the model's folder in "
        "`EVERGREEN_LANDING`. It may be empty; where it is not there, nothing is declared missing. "
        "On a mounted share name a folder below the mount point, which is empty without the share.",
    )
    complete: CompleteConfig = CompleteConfig()
    wait: Duration = Field(default=timedelta(hours=6), description=_WAIT)
    late: Annotated[int, Field(ge=0)] = Field(
        default=31,
        description="Batches back for which late files are looked for; they join the next open batch. A row whose "
        "event time lies further back, and more than a year, goes to quarantine.",
    )
    delimiter: Delimiter = Field(default=",", description="Character between two values in a CSV file.")
    encoding: Encoding = Field(default="utf-8", description="Encoding of text files.")
    nulls: tuple[str, ...] = Field(default=("",), description=_NULLS)

    @field_validator("location")
    @classmethod
    def _is_a_location(cls, location: str | None) -> str | None:
        if location is not None and not location.startswith(("/", "s3://", "gs://", "az://", "file://")):
            raise ValueError("valid: a URI such as s3://bucket/prefix, or an absolute folder; none: EVERGREEN_LANDING")
        return location

    @model_validator(mode="after")
    def _marker_belongs_to_a_batch(self) -> Self:
        check_marker(self.files, self.complete)
        return self


class AnsweredConfig(Contract):
    """What makes a batch's query ready, beside its batch's end."""

    sql: str = Field(description="Query whose first value is true once the batch can be asked for.")


class QueryConfig(Contract):
    """A query, asked once for each batch."""

    sql: str = Field(
        description="Query that returns a batch. `:start` and `:end` (in UTC), or `:batch` (its name), stand in it for "
        "the batch."
    )
    database: str = Field(
        description="Environment variable that holds the database's SQLAlchemy URL; credentials never stand here."
    )
    complete: AnsweredConfig | None = Field(
        default=None, description="When a batch can be asked for; without it at the batch's end."
    )
    wait: Duration = Field(default=timedelta(hours=6), description=_WAIT)
    nulls: tuple[str, ...] = Field(default=("",), description=_NULLS)

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

    target: dict[str, Column] = Field(
        min_length=1, max_length=1, description="The column to predict, with its type, such as `{minutes: float}`."
    )
    max_quarantined: Percent = Field(default=0.5, description=QUARANTINED)

    @property
    def column(self) -> str:
        """Name of the target."""
        return next(iter(self.target))


class LabelFeed(LabelsInside):
    """Labels in a feed of their own."""

    key: tuple[str, ...] = Field(
        default=(), description="Needed here: the columns of `rows.key`, by which a label finds its row."
    )
    max_delay: Annotated[int, Field(ge=0)] = Field(
        default=90, description="Batches after its row within which a label may come; a later one counts as unmatched."
    )
    wait: Duration = Field(default=timedelta(hours=12), description=_WAIT)


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
