"""Where things are: the one module that reads the environment."""

import json
import os
import re
from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from evergreen.config.mistakes import describe_mistakes
from evergreen.config.tasks_config import AlertsConfig
from evergreen.errors import ConfigInvalid, Refused

_PACKAGE = Path(__file__).parents[1]
_NOTE = "mlflow_uri"


@dataclass(frozen=True)
class Locations:
    """Where one deployment keeps its state.

    :param env: scope of lake, ledger and registry names; letters, digits, dots, ``_`` and ``-``.
    :param lake: URI or folder of the lake; the ledger stands beside its tables.
    :param landing: folder in which files arrive, one folder a model.
    :param tracking_uri: MLflow's tracking and registry URI.
    :param artifacts: where new experiments keep their artefacts; None leaves it to the MLflow server.
    :param online: URL of the store that serves the latest values of feature views; empty: there is none.
    :param spark: Spark Connect's address, ``sc://HOST:PORT`` with its parameters; empty: there is none.
    :raises Refused: if the environment's name is none.
    """

    env: str
    lake: str
    landing: str
    tracking_uri: str
    artifacts: str | None = None
    online: str = ""
    spark: str = ""

    def __post_init__(self) -> None:
        # Paths and MLflow's names are made of it.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.env):
            raise Refused(
                f"EVERGREEN_ENV: found {self.env!r}; valid: letters, digits, '.', '_' and '-', such as staging"
            )

    @classmethod
    def under(cls, folder: Path, env: str = "dev", landing: str | None = None) -> Self:
        """Everything below one folder: a scratch folder, or the default on one machine."""
        folder = folder.absolute()
        return cls(
            env=env,
            lake=str(folder / "lake"),
            landing=landing or str(folder / "landing"),
            tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
            artifacts=(folder / "mlflow").as_uri(),
            online=f"sqlite:///{folder / 'online.db'}",
        )

    @classmethod
    def from_environment(cls) -> Self:
        """What ``EVERGREEN_HOME``, ``_ENV``, ``_LAKE``, ``_LANDING``, ``_ONLINE``, ``_SPARK`` and MLflow's own say.

        Unset, ``MLFLOW_TRACKING_URI`` is MLflow's server of `evergreen run`, if that has worked in the home.
        """
        default = cls.under(home(), os.environ.get("EVERGREEN_ENV", "dev"))
        noted = home() / _NOTE
        tracking = os.environ.get("MLFLOW_TRACKING_URI") or (noted.read_text() if noted.exists() else None)
        return cls(
            env=default.env,
            lake=os.environ.get("EVERGREEN_LAKE", default.lake),
            landing=os.environ.get("EVERGREEN_LANDING", default.landing),
            tracking_uri=tracking or default.tracking_uri,
            artifacts=None if tracking else default.artifacts,
            online=os.environ.get("EVERGREEN_ONLINE", default.online),
            spark=os.environ.get("EVERGREEN_SPARK", ""),
        )

    def of_environment(self, env: str) -> Self:
        """Where another environment keeps its state: what ``EVERGREEN_<ENV>_LAKE`` and ``_TRACKING_URI`` say.

        Unset, its stores are the same under another name.
        """
        prefix = f"EVERGREEN_{env.upper().replace('-', '_')}"
        lake = os.environ.get(f"{prefix}_LAKE", self.lake)
        tracking = os.environ.get(f"{prefix}_TRACKING_URI")
        artifacts = self.artifacts if tracking is None else None
        return replace(self, env=env, lake=lake, tracking_uri=tracking or self.tracking_uri, artifacts=artifacts)


def note_tracking_uri(folder: Path, uri: str) -> None:
    """Let commands in a home find the MLflow server that keeps its models."""
    (folder / _NOTE).write_text(uri)


def home() -> Path:
    """The folder under which everything is kept unless it is said otherwise: ``EVERGREEN_HOME``."""
    return Path(os.environ.get("EVERGREEN_HOME", ".evergreen"))


def deployment_alerts() -> AlertsConfig:
    """Who is told of models that name nobody or do not load: ``EVERGREEN_ALERTS_HTTP``, ``_SLACK`` and others.

    :raises ConfigInvalid: if what is there is not valid.
    """
    said: dict[str, Any] = {
        name: value
        for name in AlertsConfig.model_fields
        if (value := os.environ.get(f"EVERGREEN_ALERTS_{name.upper()}"))
    }
    try:
        if "notifiers" in said:
            said["notifiers"] = json.loads(said["notifiers"])
        return AlertsConfig.model_validate(said)
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error}; valid: a list as that of alerts.notifiers"
        raise ConfigInvalid("EVERGREEN_ALERTS_NOTIFIERS", [problem]) from None
    except ValidationError as error:
        raise ConfigInvalid("EVERGREEN_ALERTS_*", describe_mistakes(error, AlertsConfig)) from None


def digest_time() -> time | None:
    """When the day's digest is told, in UTC: ``EVERGREEN_ALERTS_DIGEST``, such as 07:00; None where nobody wants one.

    :raises ConfigInvalid: if it is no time.
    """
    said = os.environ.get("EVERGREEN_ALERTS_DIGEST")
    try:
        return time.fromisoformat(said) if said else None
    except ValueError:
        raise ConfigInvalid(
            "EVERGREEN_ALERTS_DIGEST", [f"found {said!r}; valid: a time in UTC such as 07:00"]
        ) from None


def model_roots() -> list[Path]:
    """The folders that hold model folders: ``EVERGREEN_MODELS``, separated as PATH is.

    If it is unset, ``include/models``: beside this package in a checkout, else below ``AIRFLOW_HOME``.
    """
    named = os.environ.get("EVERGREEN_MODELS")
    if named:
        return [Path(root) for root in named.split(os.pathsep) if root]
    if (beside := _PACKAGE.parent / "models").is_dir():
        return [beside]
    return [Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "include" / "models"]


def view_roots() -> list[Path]:
    """The folders that hold feature views: ``EVERGREEN_FEATURES``, separated as PATH is.

    If it is unset, ``features`` beside each folder that holds models.
    """
    named = os.environ.get("EVERGREEN_FEATURES")
    return [Path(root) for root in (named or "").split(os.pathsep) if root] or [
        root.parent / "features" for root in model_roots()
    ]


def demo_models() -> Path:
    """The folder of the demo's model folder: a part of the installed package, in a checkout ``include/models``."""
    installed = _PACKAGE / "demo" / "models"
    return installed if installed.is_dir() else _PACKAGE.parent / "models"
