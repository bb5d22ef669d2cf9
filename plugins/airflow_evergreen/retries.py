"""The retry policy of every task: an outage is retried, a refusal is not."""

from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

# Bad data is as bad the second time; an outage may be over.
RETRIES = ExceptionRetryPolicy(
    rules=[RetryRule("evergreen.errors.Refused", RetryAction.FAIL, reason="deterministic: a retry would fail again")]
)
