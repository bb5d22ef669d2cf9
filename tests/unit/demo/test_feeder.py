"""The feeder looks after the services while it waits, and names what it waits for."""

import pytest

from evergreen.config.locations import Locations, demo_models
from evergreen.config.model_folder import get_model_folder
from evergreen.demo.feeder import feed
from evergreen.demo.stream import DemoStream
from evergreen.errors import NotReady


def test_where_nobody_works_it_says_what_was_not_done(tmp_path):
    looks = []
    told = feed(
        get_model_folder("taxi", [demo_models()]),
        Locations.under(tmp_path),
        DemoStream(batches=1, trips=20),
        patience=0.3,
        watch=lambda: looks.append(1),
    )
    with pytest.raises(NotReady, match=r"nothing came of it within 0 s: batch 2024-01-01 has not been scored"):
        next(told)
    assert len(looks) > 1
    assert (tmp_path / "landing" / "taxi" / "green_2024-01-01.done").exists()
