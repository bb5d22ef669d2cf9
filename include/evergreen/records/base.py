"""What all records have in common."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _without_infinities(value: Any) -> Any:
    """Nested numbers, with None for what is not finite: whoever reads the record sees what its writer saw."""
    if isinstance(value, dict):
        return {name: _without_infinities(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Of the form that records are written in. A field that is added has a default; any other change makes a new number.
SCHEMA = 1
Feed = Literal["rows", "labels"]
FEEDS: tuple[Feed, ...] = ("rows", "labels")
State = Literal["ok", "warn", "bad", "provisional"]
Numbers = Annotated[dict[str, Any], BeforeValidator(_without_infinities)]


class Part(BaseModel):
    """A frozen part of a record."""

    # JSON knows no infinity; as null a number that overflowed would make the record unreadable for ever.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Record(Part):
    """One decision. ``as_of`` is the last batch whose arrivals it read."""

    kind: ClassVar[str]
    schema_number: int = SCHEMA
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
