"""What all records have in common."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Feed = Literal["rows", "labels"]
State = Literal["ok", "warn", "bad", "provisional"]
Numbers = dict[str, Any]


class Part(BaseModel):
    """A frozen part of a record."""

    # JSON knows no infinity; as null a number that overflowed would make the record unreadable for ever.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Record(Part):
    """One decision. ``as_of`` is the last batch whose arrivals it read."""

    kind: ClassVar[str]
    as_of: str
    meta: dict[str, Any] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Id and number below the record's kind."""
        raise NotImplementedError

    def body(self) -> dict[str, Any]:
        """Everything but ``meta``, as JSON values."""
        return self.model_dump(mode="json", exclude={"meta"})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Record) and self.body() == other.body()

    def __hash__(self) -> int:
        return hash((self.kind, self.address))
