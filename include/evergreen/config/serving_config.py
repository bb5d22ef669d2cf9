"""The part of the contract that says what becomes of online answers: whether they are kept, and who else gives them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from evergreen.config.fields import Contract, Misfit

_Share = Annotated[float, Field(ge=0, le=100)]


class ArmsConfig(Contract):
    """How many of a hundred keys champion and challenger answer."""

    champion: _Share = Field(description="Keys of a hundred that the champion answers.")
    challenger: _Share = Field(description="Keys of a hundred that the challenger answers.")

    @model_validator(mode="after")
    def _are_all(self) -> Self:
        if self.champion + self.challenger != 100:
            raise Misfit(f"found {self.champion:g} and {self.challenger:g}; valid: two shares that make 100")
        return self


class CanaryConfig(Contract):
    """Shares that a challenger gets one after the other, as long as it is not worse."""

    steps: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(1, 5, 25, 100),
        min_length=1,
        description="Keys of a hundred that the challenger answers, step by step.",
    )
    every: Annotated[int, Field(gt=0)] = Field(default=1, description="Batches that a step lasts at least.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise Misfit(f"steps: found {', '.join(f'{step:g}' for step in self.steps)}; valid: rising shares")
        return self


class ServingConfig(Contract):
    """What becomes of the answers of `evergreen serve`; without it nothing is kept of them."""

    answers: bool = Field(
        default=False,
        description="Whether the lake keeps what was answered online. Where a challenger answers, it does in any case.",
    )
    arms: ArmsConfig | None = Field(
        default=None, description="Challenger beside the champion, such as `{champion: 90, challenger: 10}`: A/B."
    )
    canary: CanaryConfig | None = Field(
        default=None, description="Challenger with a share that grows; `{}` for 1, 5, 25 and 100 of a hundred."
    )
    shadow: bool = Field(
        default=False, description="Whether the challenger's answers are made and kept, and nobody sees them."
    )

    @model_validator(mode="after")
    def _one_experiment(self) -> Self:
        said = [name for name in ("arms", "canary", "shadow") if getattr(self, name)]
        if len(said) > 1:
            raise Misfit(f"found {' and '.join(said)}; valid: one of arms, canary, shadow")
        return self

    @property
    def experiments(self) -> bool:
        """Whether a challenger is tried beside the champion."""
        return self.shadow or bool(self.arms or self.canary)

    @property
    def keeps(self) -> bool:
        """Whether answers are kept."""
        return self.answers or self.experiments

    @property
    def steps(self) -> tuple[float, ...]:
        """The challenger's shares of a hundred, one after the other; one of 0 where nobody sees its answers."""
        if self.canary is not None:
            return self.canary.steps
        return (self.arms.challenger if self.arms is not None else 0.0,)
