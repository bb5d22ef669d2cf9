"""What hourly demand depends on: the hour, the kind of day, the weather, and how much was rented lately."""

import pandas as pd


def build_features(batch: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Features of each hour.

    :param history: the two weeks before the batch, with the rentals known by then (``cnt``).
    """
    return pd.DataFrame(
        {
            "hour": batch["hr"],
            "weekday": batch["weekday"].astype(float),
            "workingday": batch["workingday"].astype(float),
            "weather": batch["weathersit"].astype(float),
            "temperature": batch["temp"],
            "felt_temperature": batch["atemp"],
            "humidity": batch["hum"],
            "wind": batch["windspeed"],
            "lately_at_this_hour": lately(batch, history, ["workingday", "hr"]),
            "lately": lately(batch, history, ["workingday"]),
        },
        index=batch.index,
    )


def lately(batch: pd.DataFrame, history: pd.DataFrame, alike: list[str]) -> pd.Series:
    """Mean rentals of the hours in the history that are alike; NaN where there is none."""
    means = history.groupby(alike)["cnt"].mean().rename("mean").reset_index()
    found = batch[alike].merge(means, on=alike, how="left")["mean"]
    return pd.Series(found.to_numpy(), index=batch.index)
