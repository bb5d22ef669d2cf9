"""A shop's sales as a history file has them."""

import numpy as np
import pandas as pd

ROWS = 400


def make_sales(**columns):
    """Four hundred sales, two a day, whose amount follows from price and shop, with some noise."""
    random = np.random.default_rng(7)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) // 2, "D")
    price = random.uniform(1, 9, ROWS).round(2)
    frame = pd.DataFrame(
        {
            "sale_id": [f"S{i:05d}" for i in range(ROWS)],
            "sold_at": day.strftime("%Y-%m-%d"),
            "price": price,
            "shop": random.choice(["north", "south"], ROWS),
            "amount": (price * 3 + random.normal(0, 3, ROWS)).round(2),
        }
    )
    return frame.assign(**{name: make(frame) if callable(make) else make for name, make in columns.items()})
