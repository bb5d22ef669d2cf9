"""Evidently's HTML report of a check: what a person looks at when a number is not as it was."""

import re

import numpy as np
import pandas as pd

from evergreen.errors import needs_extra
from evergreen.foreign_text import for_chart, for_script, restrict

_SAMPLE = 10_000
# Larger numbers are drawn as this: Evidently squares and spans them, and neither may overflow.
_LARGEST = 1e100
# The lines of its page that hold what came from elsewhere, each as JSON without a line end within.
_DATA = re.compile("^    var .* = [{].*$", re.MULTILINE)


def render_drift(
    reference: pd.DataFrame, current: pd.DataFrame, columns: list[str], categorical: set[str], seed: int
) -> str | None:
    """Evidently's data drift report of the watched columns.

    Its own thresholds colour it; the verdict is taken on the calibrated ones.

    :param reference: (rows, columns) what the champion learnt from.
    :param current: (rows, columns) what came since the last check.
    :param columns: the columns to show; one without a value on either side is left out, as Evidently cannot draw it.
    :param categorical: those of them that hold categories; the others hold numbers.
    :param seed: of the sample drawn from more than 10,000 rows.
    :returns: a page that loads nothing from elsewhere, and in which no name and no category is code; None where no
        column can be drawn.
    """
    with needs_extra("reports", "Evidently's page of a check"):
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

    sides = [
        _read(side.sample(min(len(side), _SAMPLE), random_state=seed), columns, categorical)
        for side in (current, reference)
    ]
    drawn = [name for name in columns if all(side[name].notna().any() for side in sides)]
    if not drawn:
        return None
    # Left to itself Evidently takes categories that differ in more than half of the rows for texts, and few whole
    # numbers for categories. An empty list says that there are none; None would have it look.
    types = DataDefinition(
        numerical_columns=[for_chart(name) for name in drawn if name not in categorical],
        categorical_columns=[for_chart(name) for name in drawn if name in categorical],
        text_columns=[],
        datetime_columns=[],
        unknown_columns=[],
        list_columns=[],
    )
    datasets = [Dataset.from_pandas(side[drawn].rename(columns=for_chart), data_definition=types) for side in sides]
    page: str = Report([DataDriftPreset()]).run(*datasets).get_html_str(as_iframe=False)
    return restrict(_DATA.sub(lambda data: for_script(data[0]), page))


def _read(rows: pd.DataFrame, columns: list[str], categorical: set[str]) -> pd.DataFrame:
    """The columns as Evidently can draw them: of numbers none infinite or too large, an infinite one being none."""
    read = {}
    for name in columns:
        if name in categorical:
            values = rows[name].astype(object)
            read[name] = values.map(lambda value: for_chart(value) if isinstance(value, str) else value)
        else:
            numbers = rows[name].to_numpy(dtype=float, na_value=np.nan)
            finite = np.where(np.isfinite(numbers), numbers, np.nan)
            read[name] = pd.Series(finite.clip(-_LARGEST, _LARGEST), index=rows.index)
    return pd.DataFrame(read, index=rows.index)
