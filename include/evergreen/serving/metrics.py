"""What Prometheus scrapes of the service."""

from collections.abc import Mapping

from evergreen.errors import needs_extra
from evergreen.serving.answer_log import AnswerLog
from evergreen.serving.champions import Champion

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

# What a log of answers counts, by its attribute.
_LOGGED = {
    "waiting": "Rows answered that are not in the spool yet.",
    "lost": "Rows answered that the log has lost since the process began: its buffer or its spool was full.",
    "unshadowed": "Rows for which a challenger's shadow was left out since then: too many, or a store was out.",
    "failed": "Rows since then that a challenger could not answer.",
}


class Metrics:
    """Counts of requests and rows, times, and who answers.

    :param env: the deployment's name.
    :param champions: by model.
    :param logs: of those models of which answers are kept.
    :raises ExtraMissing: without prometheus-client.
    """

    def __init__(self, env: str, champions: Mapping[str, Champion], logs: Mapping[str, AnswerLog]) -> None:
        with needs_extra("serve", "the metrics of the service"):
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._env, self._champions, self._registry = env, champions, CollectorRegistry()
        of, mine = ("env", "model"), self._registry
        self._requests = Counter(
            "evergreen_serving_requests", "Requests by their answer.", (*of, "status"), registry=mine
        )
        self._rows = Counter("evergreen_serving_rows", "Rows that were answered.", of, registry=mine)
        told = "Time from a request's first byte to its answer."
        self._seconds = Histogram("evergreen_serving_seconds", told, of, buckets=_BUCKETS, registry=mine)
        told = "The version that answers; 0 where none does."
        self._version = Gauge("evergreen_serving_version", told, of, registry=mine)
        told = "1 where not all who should answer by the ledger do, else 0."
        self._stale = Gauge("evergreen_serving_stale", told, of, registry=mine)
        self._logs = logs
        self._logged = {
            name: Gauge(f"evergreen_serving_answers_{name}", told, of, registry=mine)
            for name, told in _LOGGED.items()
            if logs
        }

    def count(self, model: str, status: int, seconds: float, rows: int) -> None:
        """Count one request; of models that are not served, all under one name."""
        named = model if model in self._champions else ""
        self._requests.labels(self._env, named, status).inc()
        self._seconds.labels(self._env, named).observe(seconds)
        self._rows.labels(self._env, named).inc(rows)

    def write(self) -> bytes:
        """The metrics, in the text that Prometheus scrapes."""
        from prometheus_client import generate_latest

        for name, champion in self._champions.items():
            current = champion.current
            self._version.labels(self._env, name).set(float(current.version) if current is not None else 0)
            self._stale.labels(self._env, name).set(bool(champion.trouble))
        for name, log in self._logs.items():
            for what, gauge in self._logged.items():
                gauge.labels(self._env, name).set(getattr(log, what))
        return generate_latest(self._registry)
