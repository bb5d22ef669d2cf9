"""What each feature of a request's rows brings to their predictions, as the service answers it."""

from typing import Any

from fastapi import HTTPException

from evergreen.errors import FeaturesInvalid, Refused
from evergreen.serving.champions import ServedVersion
from evergreen.serving.values import Rows


def explain(served: ServedVersion, rows: Rows) -> dict[str, Any]:
    """Predictions, and by feature what it brings to each.

    :raises HTTPException: 501 where the version cannot be explained.
    """
    try:
        names, told = served.explain(rows)
    except Refused as error:
        if isinstance(error, FeaturesInvalid):
            raise
        raise HTTPException(501, str(error)) from error
    return {
        "model": served.model.id,
        "version": served.version,
        "promotion": served.promotion,
        "batch": served.batch,
        "predictions": told.predictions.tolist(),
        "explanations": [dict(zip(names, row, strict=True)) for row in told.values.tolist()],
        "method": told.method,
        "scale": told.scale,
        "base": told.base,
        "why": told.why,
    }
