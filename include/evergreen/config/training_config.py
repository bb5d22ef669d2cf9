"""`training`: what is learnt from, and by which parameters."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from evergreen.config.fields import Contract


class SearchConfig(Contract):
    """How long parameters are searched for; `suggest(trial)` in estimator.py says among which."""

    trials: Annotated[int, Field(gt=0)] = Field(default=20, description="Sets of parameters that are tried.")
    seconds: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="After which no further set is begun; where it ends a search, another run may choose other "
        "parameters. By default it has no such end.",
    )


def _parse_window(value: Any) -> Any:
    if value in ("auto", "all") or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("valid: auto, all, or a number of label batches such as 12")


class TrainingConfig(Contract):
    """How much is learnt from."""

    since: ClassVar[set[str]] = {"rows", "search"}
    window: Annotated[Literal["auto", "all"] | int, BeforeValidator(_parse_window)] = Field(
        default="auto",
        description="Label batches to learn from: a number, `all` of the past, or `auto`, the best of all, a season "
        "and a shorter span. A bulk (the labels of several batches at once) counts as that many batches.",
    )
    min_labels: Annotated[int, Field(gt=0)] = Field(
        default=30, description="Labels that must be known before a first version is made."
    )
    rows: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="About how many labelled rows to learn from: of a window that has more, a sample drawn by the key "
        "and `model.seed`, in a memory that does not grow with the window. By default all.",
    )
    search: SearchConfig | None = Field(
        default=None,
        description="Whether each challenger's parameters are searched for; it takes the extra `search`.",
    )
