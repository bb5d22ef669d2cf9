"""When to retrain, as config.yaml says it: the policies, how they combine, and what holds them back."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from include.config.fields import Contract, Percent

Count = Annotated[int, Field(gt=0)]


class Never(Contract):
    """Never retrain."""

    policy: Literal["never"] = "never"


class Decay(Contract):
    """Retrain when the error has grown by ``worse_by`` over the holdout error at promotion."""

    policy: Literal["decay"] = "decay"
    worse_by: Percent = 0.1


class InputDrift(Contract):
    """Retrain when an input has drifted."""

    policy: Literal["input_drift"] = "input_drift"


class EveryN(Contract):
    """Retrain every ``n`` batches."""

    policy: Literal["every"] = "every"
    n: Count


class Uniform(Contract):
    """Retrain ``budget`` times in ``over`` batches, evenly spaced from the schedule's start."""

    policy: Literal["uniform"] = "uniform"
    budget: Count
    over: Count

    @model_validator(mode="after")
    def _once_a_batch(self) -> Self:
        if self.budget > self.over:
            raise ValueError(f"found budget {self.budget} over {self.over} batches; valid: once a batch at most")
        return self


class Due(Contract):
    """Retrain when the champion is ``age`` batches old, or ``new_labels`` labels have come since it was trained."""

    policy: Literal["due"] = "due"
    age: Count | None = None
    new_labels: Count | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.age is None and self.new_labels is None:
            raise ValueError("valid: age, new_labels, or both")
        return self


class Cusum(Contract):
    """Retrain when what the error lies above the holdout error at promotion has added up, ``k`` a batch let go."""

    policy: Literal["cusum"] = "cusum"
    k: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    h: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 8.0
    memory: Annotated[int, Field(ge=4)] = 28


class Adwin(Contract):
    """Retrain when the error has risen within the last ``memory`` label batches, at the level ``delta``."""

    policy: Literal["adwin"] = "adwin"
    delta: Annotated[float, Field(gt=0, lt=1)] = 0.002
    memory: Annotated[int, Field(ge=4)] = 28


class Cara(Contract):
    """Retrain when keeping the champion has cost what a training does: ``price`` batches of twice the error."""

    policy: Literal["cara"] = "cara"
    price: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    memory: Count = 28


class CodeChanged(Contract):
    """Retrain when the model folder's code is no longer the champion's."""

    policy: Literal["code_changed"] = "code_changed"


class Refilled(Contract):
    """Retrain once more when a window of labels has come since a champion was promoted for decay or drift."""

    policy: Literal["refilled"] = "refilled"


class AnyOf(Contract):
    """Retrain when one of several policies asks."""

    policy: Literal["any"] = "any"
    of: tuple["Policy", ...] = Field(min_length=1)


class AllOf(Contract):
    """Retrain when several policies ask at once."""

    policy: Literal["all"] = "all"
    of: tuple["Policy", ...] = Field(min_length=1)


Single = Never | Decay | InputDrift | EveryN | Uniform | Due | Cusum | Adwin | Cara | CodeChanged | Refilled
# What `{every: 4}` and, on a command line, `every:4` are short for.
_SHORT = {"every": "n", "decay": "worse_by", "adwin": "delta", "cara": "price", "any": "of", "all": "of"}


def _parse_policy(value: Any) -> Any:
    """``decay`` is short for ``{policy: decay}``, ``{every: 4}`` for ``{policy: every, n: 4}``."""
    if isinstance(value, str):
        return {"policy": value}
    if isinstance(value, dict) and len(value) == 1 and "policy" not in value:
        name, options = next(iter(value.items()))
        if name in _SHORT and options is not None and not isinstance(options, dict):
            options = {_SHORT[name]: options}
        if not isinstance(options, dict | None):
            raise ValueError(f"found {options!r} for {name}; valid: its options, such as {{{name}: {{name: value}}}}")
        return {"policy": name, **(options or {})}
    return value


Policy = Annotated[
    Annotated[Single | AnyOf | AllOf, Field(discriminator="policy")],
    BeforeValidator(_parse_policy),
]
AnyOf.model_rebuild()
AllOf.model_rebuild()


def each_single(policies: Iterable[Policy]) -> Iterator[Single]:
    """Every policy that is named, however deep it stands."""
    for policy in policies:
        if isinstance(policy, AnyOf | AllOf):
            yield from each_single(policy.of)
        else:
            yield policy


def describe_policy(policy: Policy) -> str:
    """A policy in words."""
    match policy:
        case AnyOf(of=members):
            return f"any of ({', '.join(describe_policy(one) for one in members)})"
        case AllOf(of=members):
            return f"all of ({', '.join(describe_policy(one) for one in members)})"
        case _:
            return policy.policy


class PersistenceConfig(Contract):
    """In how many of the last checks a reason must have stood."""

    hits: Count
    of: Annotated[int, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.hits > self.of:
            raise ValueError(f"found {self.hits} hits of {self.of} checks; valid: as many at most")
        return self


class RetrainConfig(Contract):
    """When a retraining is asked for, how often it is tried, and how long it then rests."""

    any: tuple[Policy, ...] = Field(default=(Cusum(), Refilled()), min_length=1)
    persistence: PersistenceConfig = PersistenceConfig(hits=1, of=1)
    cooldown: Annotated[int, Field(ge=0)] = 0
    attempts: Count = 3

    @model_validator(mode="after")
    def _outcomes_have_one_limit(self) -> Self:
        limits = sorted({policy.worse_by for policy in each_single(self.any) if isinstance(policy, Decay)})
        if len(limits) > 1:
            told = " and ".join(f"{limit:.4g}" for limit in limits)
            raise ValueError(f"found decay with worse_by {told}; valid: one worse_by, by which outcomes are bad")
        return self

    @property
    def worse_by(self) -> float:
        """Growth of the error over that at promotion from which outcomes are bad."""
        return next(
            (policy.worse_by for policy in each_single(self.any) if isinstance(policy, Decay)), Decay().worse_by
        )
