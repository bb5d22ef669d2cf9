"""What is logged beside a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """Tags, settings and numbers of a model, and the data that it learnt from.

    :param tags: who, why and from what.
    :param params: settings it was fitted with.
    :param metrics: numbers it was judged by.
    :param source: URI of the table it learnt from.
    :param data: its data version.
    """

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    source: str
    data: str
