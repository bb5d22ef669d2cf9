"""What hourly demand depends on: the hour, the kind of day, the weather."""

import pandas as pd


def build_features(batch: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Features of each hour; this model reads no history."""
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
        },
        index=batch.index,
    )
