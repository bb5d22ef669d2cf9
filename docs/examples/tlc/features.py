"""What a fare depends on as the trip begins: from where to where, when, and what such trips cost the month before."""

import pandas as pd


def build_features(batch: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Features of each trip.

    :param history: the month before, with its fares (``fare_amount``, NaN where a fare is in quarantine).
    """
    return pd.DataFrame(
        {
            "hour": batch["lpep_pickup_datetime"].dt.hour,
            "weekday": batch["lpep_pickup_datetime"].dt.weekday,
            "passengers": batch["passenger_count"].astype(float),
            "dispatched": (batch["trip_type"] == "2").astype(float),
            "pickup_zone": batch["PULocationID"].astype(float),
            "dropoff_zone": batch["DOLocationID"].astype(float),
            "same_zone": (batch["PULocationID"] == batch["DOLocationID"]).astype(float),
            "lately_on_this_way": lately(batch, history, ["PULocationID", "DOLocationID"]),
            "lately_from_here": lately(batch, history, ["PULocationID"]),
            "lately_to_there": lately(batch, history, ["DOLocationID"]),
        },
        index=batch.index,
    )


def lately(batch: pd.DataFrame, history: pd.DataFrame, alike: list[str]) -> pd.Series:
    """Mean fare of the trips in the history that are alike; NaN where there is none."""
    means = history.groupby(alike)["fare_amount"].mean().rename("mean").reset_index()
    found = batch[alike].merge(means, on=alike, how="left")["mean"]
    return pd.Series(found.to_numpy(dtype=float), index=batch.index)
