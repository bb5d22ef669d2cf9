"""The part of the contract that says how a champion is checked."""

from typing import Annotated, Literal

from pydantic import Field

from evergreen.config.fields import Contract

Divergence = Literal["wasserstein", "psi", "jensenshannon", "kl", "ks", "chisquare"]
# By type of column.
DIVERGENCES = {
    **dict.fromkeys(("float", "integer"), ("wasserstein", "psi", "jensenshannon", "kl", "ks")),
    **dict.fromkeys(("category", "boolean"), ("jensenshannon", "psi", "kl", "chisquare")),
}


class CheckConfig(Contract):
    """How often a model is checked, over how many label batches its error is taken, and what it is told by."""

    every: Annotated[int, Field(gt=0)] = Field(default=1, description="Batches from one check to the next.")
    window: Annotated[int, Field(gt=0)] = Field(
        default=4,
        description="Label batches over which the error is taken; a bulk counts as in `training.window`.",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(
        default=200, description="Labelled rows below which the error is not judged."
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="Columns that are not compared with what the champion learnt from."
    )
    divergence: dict[str, Divergence] = Field(
        default={},
        description="Measure by which a column is compared. Of numbers `wasserstein` (without it), `psi`, "
        "`jensenshannon`, `kl`, `ks`; of categories and booleans `jensenshannon` (without it), `psi`, `kl`, "
        "`chisquare`.",
    )
    html: Literal["never", "not_ok", "always"] = Field(
        default="not_ok",
        description="When Evidently's page of the inputs is drawn: never, where inputs warn, or at each check. It "
        "needs the extra `reports`.",
    )

    def draws(self, inputs: str) -> bool:
        """Whether Evidently's page of a check is drawn whose inputs are in a state."""
        return self.html == "always" or (self.html == "not_ok" and inputs == "warn")
