"""Ranges are told by the library's own arithmetic: both say the same of any numbers."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.checks import expectations
from evergreen.checks.results import BETWEEN, find_out_of_range
from evergreen.config.expectations_config import ExpectationsConfig

PATH = Path("models/taxi/expectations.yaml")
COLUMNS = {
    "whole": [3, 1, -2, 0, 7, 7, 1, 2],
    "gaps": [0.5, None, 1.5, -0.0, 2.5, None, 0.1, 1e9],
    "huge": [2**62, 2**62 + 1, 2**53, 1, 0, -1, 5, 6],
    "none": [np.nan] * 8,
}
LIMITS = [{"min_value": 0}, {"max_value": 1}, {"min_value": 0, "max_value": 1.5}, {"min_value": 2**62}]
MOSTLY: list[dict[str, float]] = [{}, {"mostly": 0.5}, {"mostly": 0.75}, {"mostly": 0.99}]


def test_the_library_says_the_same_of_all_rows_and_of_pieces(monkeypatch):
    frame = pd.DataFrame(COLUMNS)
    asked = ExpectationsConfig.model_validate(
        {
            "rows": [
                {BETWEEN: {"column": name, **limits, **mostly}}
                for limits, mostly, name in itertools.product(LIMITS, MOSTLY, COLUMNS)
            ]
        }
    ).rows
    assert all(find_out_of_range(frame, 0, one.arguments) is not None for one in asked)
    pieces = [frame, [frame.iloc[at : at + 3].reset_index(drop=True) for at in (0, 3, 6)]]

    def tell():
        return [
            [(one.expectation, one.column, one.found, one.rows.tolist()) for one in failures]
            for failures in (
                expectations.check_expectations(frames, asked, PATH) for frames in ([pieces[0]], pieces[1])
            )
        ]

    own = tell()
    monkeypatch.setattr(expectations, "find_out_of_range", lambda *_: None)
    assert own == tell()
    assert len(own[0]) > len(asked) / 4


def test_what_is_no_plain_range_of_numbers_is_left_to_the_library():
    frame = pd.DataFrame({"n": [1.0], "t": ["a"], "b": [True], "at": pd.to_datetime(["2024-01-01"])})
    for arguments in (
        {"column": "n"},
        {"column": "n", "min_value": 2, "max_value": 1},
        {"column": "n", "min_value": "1"},
        {"column": "n", "min_value": True},
        {"column": "n", "min_value": 2**62 + 1},
        {"column": "n", "min_value": 1, "strict_min": True},
        {"column": "n", "min_value": 1, "row_condition": "n > 3"},
        {"column": "gone", "min_value": 1},
        *({"column": name, "min_value": 1} for name in ("t", "b", "at")),
    ):
        assert find_out_of_range(frame, 0, arguments) is None
