"""The part of the contract that says how much a file or a batch may hold."""

from typing import Annotated

from pydantic import Field

from evergreen.config.fields import Contract
from evergreen.errors import FileRefused

_MEGABYTE = 1_000_000
# What a value takes in memory, however little it takes in its file.
_CELL_BYTES = 4
_Limit = Annotated[int, Field(gt=0)]


class LimitsConfig(Contract):
    """What one file may hold. A file beyond it could end the process that reads it; it rejects its batch instead.

    All files of a batch together may have no more rows and megabytes than one of them.
    """

    file_mb: _Limit = Field(default=2_000, description="Size of a file as it arrives, in megabytes.")
    unpacked_mb: _Limit = Field(
        default=2_000,
        description="Megabytes that a file, or all files of a batch, take when they are unpacked and read; each value "
        "counts as 4 bytes at least.",
    )
    rows: _Limit = Field(
        default=10_000_000, description="Rows of a file, of all files of a batch, or of a query's answer."
    )
    columns: _Limit = Field(default=5_000, description="Columns of a file.")
    line_mb: _Limit = Field(default=16, description="Megabytes of a line of JSON, or of the header of a CSV file.")
    quoted_lines: _Limit = Field(
        default=100,
        description="Line breaks in a quoted field of a CSV file: two lone quotes make one row of all between them.",
    )

    def most(self, field: str) -> int:
        """A limit, in bytes where it is one of size."""
        limit: int = getattr(self, field)
        return limit * _MEGABYTE if field.endswith("_mb") else limit

    def require(self, field: str, found: int, file: str, what: str) -> None:
        """Refuse a file that goes beyond a limit.

        :param found: in the limit's unit, bytes for sizes.
        :param what: what the file does beyond it, such as "holds 3 rows", for the message.
        :raises FileRefused: naming file, limit, what was found and the setting.
        """
        if found > self.most(field):
            raise FileRefused(file, None, self.tell(field, what))

    def require_table(self, file: str, rows: int, columns: int) -> None:
        """Refuse a table of more rows, columns or values than a file may hold.

        :raises FileRefused: naming file, limit, what was found and the setting.
        """
        self.require("rows", rows, file, f"holds {rows:,} rows")
        self.require("columns", columns, file, f"holds {columns:,} columns")
        found = rows * columns * _CELL_BYTES
        self.require("unpacked_mb", found, file, f"holds {rows:,} rows of {columns:,} columns, {megabytes(found)} MB")

    def require_batch(self, file: str, rows: int, size: int) -> None:
        """Refuse a file with which its batch would hold more than one file may.

        :param rows: of the batch's files up to this one.
        :param size: of these rows in memory, in bytes.
        :raises FileRefused: naming file, limit, what was found and the setting.
        """
        self.require("rows", rows, file, f"brings its batch to {rows:,} rows")
        self.require("unpacked_mb", size, file, f"brings its batch to {megabytes(size)} MB")

    def tell(self, field: str, what: str) -> str:
        """What is wrong with a file that goes beyond a limit, and what to do."""
        return f"{what}; limits.{field} allows {getattr(self, field):,}: raise it in config.yaml if the file is right"


DEFAULT_LIMITS = LimitsConfig()


def megabytes(size: int) -> str:
    """A size in whole megabytes, rounded up."""
    return f"{-(-size // _MEGABYTE):,}"
