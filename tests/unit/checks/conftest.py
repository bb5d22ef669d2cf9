"""Few rows, and many."""

import pytest

from evergreen.checks import asking, failing_rows, row_faults, validating
from evergreen.sources import tables
from evergreen.storage import set_aside


@pytest.fixture(params=["few", "many"])
def by_statistics(request, monkeypatch):
    """Each test twice: a few rows are one piece, or come two by two, through the disk."""
    if request.param == "many":
        for module in (asking, failing_rows, row_faults, set_aside, tables, validating):
            monkeypatch.setattr(module, "ROWS", 2)
