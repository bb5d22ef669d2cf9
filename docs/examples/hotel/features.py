"""What is known of a booking when it is made, and nothing that shows how long its outcome will take."""

import pandas as pd

_CATEGORIES = ("hotel", "meal", "market_segment", "distribution_channel", "reserved_room_type", "customer_type")
_NUMBERS = (
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "children",
    "babies",
    "is_repeated_guest",
    "previous_cancellations",
    "previous_bookings_not_canceled",
    "agent",
    "adr",
)
_LONGEST_LEAD = 30


def build_features(batch: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Features of each booking; this model reads no history."""
    arrival = batch["booked"] + pd.to_timedelta(batch["lead_time"], unit="D")
    features = {name: batch[name].astype(float) for name in _NUMBERS}
    # Of bookings made long ahead, only the cancelled ones are known soon: the lead time in full would teach that every
    # such booking is cancelled. Up to a month, most outcomes are known when they are learnt from.
    features["lead"] = batch["lead_time"].clip(upper=_LONGEST_LEAD).astype(float)
    features["arrival_weekday"] = arrival.dt.dayofweek.astype(float)
    # Rooms booked together, by an agent for one day: groups are cancelled as one.
    together = ["hotel", "booked", "lead_time", "agent"]
    features["rooms_together"] = batch.groupby(together, dropna=False)["adr"].transform("size").astype(float)
    return pd.DataFrame({**features, **{name: batch[name].astype("category") for name in _CATEGORIES}})
