"""Evidently's HTML report of a check: what a person looks at when a number is not as it was."""

import pandas as pd

_SAMPLE = 10_000


def render_drift(reference: pd.DataFrame, current: pd.DataFrame, columns: list[str], seed: int) -> str:
    """Evidently's data drift report of the watched columns.

    Its own thresholds colour it; the verdict is taken on the calibrated ones.

    :param reference: (rows, columns) what the champion learnt from.
    :param current: (rows, columns) what came since the last check.
    :param columns: the columns to show; one that is empty on either side is left out, as Evidently cannot draw it.
    :param seed: of the sample drawn from more than 10,000 rows.
    :returns: a page that loads nothing from elsewhere.
    """
    from evidently import Report
    from evidently.presets import DataDriftPreset

    drawn = [name for name in columns if reference[name].notna().any() and current[name].notna().any()]
    sides = [side.sample(min(len(side), _SAMPLE), random_state=seed)[drawn] for side in (current, reference)]
    page: str = Report([DataDriftPreset()]).run(*sides).get_html_str(as_iframe=False)
    return page
