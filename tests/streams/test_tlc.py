"""The TLC example: monthly Parquet files with the label in the row and no marker beside them, by config alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import for_replay
from evergreen.storage.stores import open_stores

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
FIRST, MONTHS, TRIPS = "2023-09-01", 18, 260
# Two taxi zones are as far apart as their numbers here; in the city they lie on a map.
ZONES = np.array([7, 24, 41, 42, 43, 61, 65, 74, 75, 82, 95, 97, 116, 129, 166, 181, 236, 244, 263, 265])


def schema_of(month: str) -> pa.Schema:
    """Columns and types of a month's file; both have changed with the years."""
    whole = pa.int64() if month < "2024" else pa.int32()
    moment, number = pa.timestamp("us"), pa.float64()
    text = pa.string() if month < "2024" else pa.large_string()
    columns = [
        ("VendorID", whole), ("lpep_pickup_datetime", moment), ("lpep_dropoff_datetime", moment),
        ("store_and_fwd_flag", text), ("RatecodeID", number), ("PULocationID", whole), ("DOLocationID", whole),
        ("passenger_count", number), ("trip_distance", number), ("fare_amount", number),
        ("extra", number), ("mta_tax", number), ("tip_amount", number), ("tolls_amount", number),
        ("ehail_fee", pa.null() if month < "2024" else number), ("improvement_surcharge", number),
        ("total_amount", number), ("payment_type", number), ("trip_type", number),
        ("congestion_surcharge", number),
    ]  # fmt: skip
    if month >= "2025":
        columns.append(("cbd_congestion_fee", number))
    return pa.schema(columns)


def make_month(month: str, number: int) -> pa.Table:
    """Trips with a month's dirt: clocks of 2009, rows of the month before, refunds, a copy, dispatches half empty."""
    random = np.random.default_rng(number)
    pickup = pd.Timestamp(month) + pd.to_timedelta(np.sort(random.choice(27 * 86400, TRIPS, replace=False)), unit="s")
    start, end = random.choice(ZONES, TRIPS), random.choice(ZONES, TRIPS)
    distance = (0.8 + abs(start - end) / 20 + random.gamma(2, 0.2, TRIPS)).round(2)
    dearer = 1.5 if number >= 10 else 1.0
    fare = (3 + 2.6 * distance * dearer + random.normal(0, 0.8, TRIPS)).clip(3).round(1)
    trips = pd.DataFrame(
        {
            "VendorID": random.choice([1, 2], TRIPS), "lpep_pickup_datetime": pickup,
            "lpep_dropoff_datetime": pickup + pd.to_timedelta(distance * 240, unit="s").round("s"),
            "store_and_fwd_flag": "N", "RatecodeID": 1.0, "PULocationID": start, "DOLocationID": end,
            "passenger_count": random.choice([1.0, 2.0, 5.0], TRIPS), "trip_distance": distance, "fare_amount": fare,
            "extra": 1.0, "mta_tax": 0.5, "tip_amount": (fare * 0.15).round(2), "tolls_amount": 0.0, "ehail_fee": None,
            "improvement_surcharge": 1.0, "total_amount": fare * 1.15 + 2.5, "payment_type": 1.0,
            "trip_type": random.choice([1.0, 2.0], TRIPS, p=[0.97, 0.03]), "congestion_surcharge": 0.0,
            "cbd_congestion_fee": 0.75,
        }
    )  # fmt: skip
    details = [
        "store_and_fwd_flag",
        "RatecodeID",
        "passenger_count",
        "payment_type",
        "trip_type",
        "congestion_surcharge",
    ]
    trips.loc[20:35, details] = None
    trips.loc[[3, 4], "lpep_pickup_datetime"] = [
        pd.Timestamp("2008-12-31 23:02:10"),
        pd.Timestamp("2009-01-01 00:10:05"),
    ]
    trips.loc[[5, 6, 7], "lpep_pickup_datetime"] -= pd.Timedelta(days=40)
    trips.loc[8, "fare_amount"] *= -1
    refunds = trips.loc[[10, 11, 12]].assign(payment_type=4.0)
    amounts = ["fare_amount", "extra", "mta_tax", "improvement_surcharge", "total_amount"]
    refunds[amounts] *= -1
    whole = pd.concat([trips, refunds, trips.loc[[15]]], ignore_index=True)
    schema = schema_of(month)
    return pa.Table.from_pandas(whole[schema.names], schema=schema, preserve_index=False)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Locations]:
    """Eighteen months, replayed by the command that the example's page names."""
    place = tmp_path_factory.mktemp("tlc")
    landing, into = place / "landing", place / "replay"
    (landing / "tlc").mkdir(parents=True)
    months = [str(month) for month in pd.period_range(FIRST, periods=MONTHS, freq="M")]
    for number, month in enumerate(months):
        parquet.write_table(make_month(month, number), landing / "tlc" / f"green_tripdata_{month}.parquet")
    done = CliRunner(env={"EVERGREEN_MODELS": str(EXAMPLES)}).invoke(
        cli, ["replay", "tlc", "--from", FIRST, "--landing", str(landing), "--into", str(into)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert (into / "report.html").exists()
    model = for_replay(load_model_folder(EXAMPLES / "tlc"), FIRST, None, html=False)
    at = Locations.under(into, landing=str(landing))
    return collect_history(model, at, FIRST, f"{months[-1]}-01"), at


def test_a_replay_of_files_without_a_marker_comes_to_a_promotion(replayed: tuple[History, Locations]) -> None:
    history, _ = replayed
    assert [one.rows.state for one in history.batches] == ["published"] * MONTHS
    assert len(history.promotions) >= 2, "fares that rise by half must be answered"
    scored = [one for one in history.batches if one.error is not None]
    assert len(scored) >= MONTHS - 9
    assert history.batches[-1].error is not None
    dearest = max(one.error for one in scored if one.error is not None)
    assert history.batches[-1].error < 0.7 * dearest


def test_each_kind_of_dirt_is_where_it_belongs(replayed: tuple[History, Locations]) -> None:
    history, at = replayed
    stores = open_stores(at, "tlc")
    for one in history.batches:
        assert one.labels is not None
        # Clocks of 2009, and the second of each pair of rows that tell the same trip.
        assert (one.rows.rows_in, one.rows.quarantined) == (TRIPS + 4, 2 + 3 + 1)
        # A lone refund; three refunds with their trips, which contradict each other; a copy.
        assert (one.labels.rows_in, one.labels.quarantined) == (TRIPS + 4, 1 + 6 + 1)
        clean = stores.lake.read_any("clean", one.batch, 0)
        assert clean.column("passenger_count").null_count == 16
        assert "fare_amount" not in clean.column_names, "no feature can read the answer"
        kept = stores.lake.read_any("quarantine_rows", one.batch, 0).to_pandas()
        assert sorted(kept["column"]) == ["VendorID"] * 4 + ["lpep_pickup_datetime"] * 2
    new = {"cbd_congestion_fee"} & set(history.batches[-1].rows.left_out)
    assert new, "a new column of a later year is named, and changes nothing"


def test_rows_of_the_month_before_belong_to_the_month_they_arrived_in(replayed: tuple[History, Locations]) -> None:
    history, at = replayed
    clean = open_stores(at, "tlc").lake.read_any("clean", history.batches[5].batch, 0).to_pandas()
    early = clean[clean["lpep_pickup_datetime"] < pd.Timestamp(history.batches[5].batch, tz="UTC")]
    assert len(early) == 3
    # Local time stays what the clock in the taxi showed.
    assert str(early["lpep_pickup_datetime"].dt.tz) == "UTC"
