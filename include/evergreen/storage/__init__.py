"""The only code that reads or writes tables, records and models."""

import os

# Before MLflow is imported: with MLflow's own settings a client blocks for four minutes on a server that is down, and
# for a quarter of an hour on one that takes calls and does not answer. A task is tried again for longer than a call.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
SOON = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
for _name, _value in _PATIENCE.items():
    os.environ.setdefault(_name, _value)
# A server, or a proxy before it, that asks to come again in an hour would hold a worker for that hour.
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server on S3 would send its clients to the store itself, by an address that only the server may be able to reach.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")


def answer_soon() -> None:
    """Let this process, for which a person waits, ask MLflow once and for seconds; what the environment says stands."""
    os.environ.update({name: value for name, value in SOON.items() if os.environ.get(name) == _PATIENCE[name]})
