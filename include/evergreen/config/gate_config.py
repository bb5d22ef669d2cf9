"""The part of the contract that says what passes the gate: by which metric, by how much, within which limits."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from evergreen.config.fields import Contract, Duration, Percent

Task = Literal["regression", "classification"]
MetricName = Literal["mae", "rmse", "logloss", "brier"]


class SliceConfig(Contract):
    """How much worse a challenger may be on one value of a column; values with fewer rows are not judged."""

    may_worsen: Percent = Field(
        default=0.1,
        description="How much worse a challenger may be on one value, relative to the champion's error there.",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(default=50, description="Rows from which on a value is judged.")


class CalibrationConfig(Contract):
    """How much worse a challenger may be calibrated than the champion; fewer rows are not judged."""

    may_worsen: Percent | None = Field(
        default=None,
        description="How much worse calibrated than the champion a challenger may be: points of probability for "
        "classification (without it 2%), shares of the champion's error for regression (without it 15%).",
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(default=500, description="Rows from which on calibration is judged.")


class GateConfig(Contract):
    """What a challenger must be worth on labels that neither it nor the champion was trained on."""

    metric: MetricName = Field(
        description="The error that is judged: `mae` or `rmse` of a regression, `logloss` or `brier` of a "
        "classification."
    )
    min_effect: Annotated[Percent, Field(ge=0)] = Field(
        default=0.01, description="Improvement that must be expected of a challenger, relative to the champion's error."
    )
    min_rows: Annotated[int, Field(gt=0)] = Field(
        default=100, description="Labelled rows that a challenger is judged on at least."
    )
    confidence: Annotated[Percent, Field(gt=0.5, lt=1)] | None = Field(
        default=None,
        description="Confidence at which the improvement must be proven, too; without it no proof is asked for.",
    )
    slices: dict[str, SliceConfig] = Field(
        default={}, description="Columns on whose single values a challenger is judged, too."
    )
    calibration: CalibrationConfig | None = Field(
        default=None, description="Limits of the calibration; without it calibration is not judged."
    )
    sensitive: tuple[str, ...] = Field(
        default=(),
        description="Columns whose groups a fairness report tells apart: error, mean residual, or rates of selection "
        "and of true and false positives, with the largest gap. Groups under `gate.min_rows` are only counted. The "
        "report judges nothing; it needs the extra `fairness`.",
    )
    approval: Literal["uncovered", "required"] = Field(
        default="uncovered",
        description="When a person decides: where the gate cannot (no labels, a champion that cannot score), or each "
        "time.",
    )
    approvers: tuple[str, ...] = Field(
        default=(), description="Airflow users who may decide; without it whoever may answer its Required Actions."
    )
    approval_wait: Duration = Field(default=timedelta(days=7), description="Time after which silence is a no.")
