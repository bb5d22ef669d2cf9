"""What is logged beside a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """A set of parameters that was tried.

    :param params: by name; empty for those of estimator.py.
    :param loss: its mean loss; None where it could not be fitted.
    :param problem: why it could not.
    """

    params: Mapping[str, Any]
    loss: float | None
    problem: str = ""


@dataclass(frozen=True)
class Evidence:
    """Tags, settings and numbers of a model, and the data that it learnt from.

    :param tags: who, why and from what.
    :param params: settings it was fitted with.
    :param metrics: numbers it was judged by.
    :param source: URI of the table it learnt from.
    :param data: its data version.
    :param trials: of the search for its parameters.
    """

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    source: str
    data: str
    trials: tuple[Trial, ...] = ()
