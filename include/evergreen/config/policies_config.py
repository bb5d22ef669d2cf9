"""When to retrain, as config.yaml says it."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from evergreen.config.fields import Contract, Duration, Misfit, Percent

Count = Annotated[int, Field(gt=0)]


class Never(Contract):
    """Never retrain."""

    policy: Literal["never"] = "never"

    def describe(self) -> str:
        """The policy in words."""
        return "never"


class EveryN(Contract):
    """Retrain every ``n`` batches."""

    policy: Literal["every"] = "every"
    n: Count = Field(description="Batches since the last promotion or closed retraining; `{every: 4}` for short.")

    def describe(self) -> str:
        """The policy in words."""
        return "every batch" if self.n == 1 else f"every {self.n} batches"


class Decay(Contract):
    """Retrain when the error has grown by ``worse_by`` over that on the serving version's own first labels."""

    policy: Literal["decay"] = "decay"
    worse_by: Percent = Field(
        default=0.05, description="Growth of the error over that on the version's own first labels, beyond noise."
    )

    def describe(self) -> str:
        """The policy in words."""
        return f"when the error has grown by {self.worse_by:.0%}"


# What `{every: 4}` and, on a command line, `every:4` are short for.
_SHORT = {"every": "n", "decay": "worse_by"}


def _parse_policy(value: Any) -> Any:
    """``decay`` is short for ``{policy: decay}``, ``{every: 4}`` for ``{policy: every, n: 4}``."""
    if isinstance(value, str):
        return {"policy": value}
    if isinstance(value, dict) and len(value) == 1 and "policy" not in value:
        name, options = next(iter(value.items()))
        if name in _SHORT and options is not None and not isinstance(options, dict):
            options = {_SHORT[name]: options}
        if not isinstance(options, dict | None):
            raise Misfit(f"found {options!r} for {name}; valid: its options, such as {{{name}: {{name: value}}}}")
        return {"policy": name, **(options or {})}
    return value


Policy = Annotated[
    Annotated[Never | EveryN | Decay, Field(discriminator="policy")],
    BeforeValidator(_parse_policy),
]


class RetrainConfig(Contract):
    """When a retraining is asked for."""

    any: Annotated[tuple[Policy, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Policies, of which one is enough. Without it `decay` and every batch (of hours every sixth, of "
        "minutes every sixtieth).",
    )
    budget: Duration | None = Field(
        default=None,
        description="CPU time that trainings may take, a batch, over the batches since the last one; without it there "
        "is no limit.",
    )

    @field_validator("budget")
    @classmethod
    def _is_positive(cls, budget: timedelta | None) -> timedelta | None:
        if budget is not None and budget <= timedelta(0):
            raise ValueError("valid: a duration such as 90s or 10m")
        return budget
