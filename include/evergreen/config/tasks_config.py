"""The part of the contract that says how Airflow runs a model's tasks, and whom its incidents reach."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, field_validator

from evergreen.config.fields import Contract, Duration, Limit


class HeavyConfig(Contract):
    """Where Airflow runs the tasks that take memory and minutes: train, judge, register, reproduce."""

    executor: str | None = Field(
        default=None,
        description="Executor of the tasks that train, judge, register and reproduce; without it Airflow's default.",
    )
    queue: str | None = Field(default=None, description="Queue of these tasks; without it Airflow's default.")
    pool: str = Field(default="default_pool", description="Pool of these tasks.")
    cpu: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Cores that such a task's pod asks for, where the executor is the KubernetesExecutor."
    )
    memory: Annotated[str, Field(pattern=r"^[0-9]+(Mi|Gi)$")] | None = Field(
        default=None, description="Memory that its pod asks for and is held to, such as `4Gi`; the same."
    )
    timeout: Limit = Field(
        default=timedelta(hours=12), description="Time that one try of such a task may take; then it is ended."
    )


class TasksConfig(Contract):
    """How Airflow runs a model's tasks: how often it looks for files, and how it retries what an outage has failed."""

    poll: Duration = Field(
        default=timedelta(seconds=30), description="Time between two looks at what is waited for, a day at most."
    )
    retries: Annotated[int, Field(ge=0)] = Field(default=3, description="Retries of a task that an outage has failed.")
    retry_delay: Duration = Field(
        default=timedelta(minutes=1),
        description="Time before the first retry, a day at most; each further one comes after twice as long.",
    )
    timeout: Limit = Field(
        default=timedelta(hours=2),
        description="Time that one try of any other task may take; then it is ended. Waiting, for files or for a "
        "person, does not count.",
    )
    heavy: HeavyConfig = HeavyConfig()

    @field_validator("poll", "retry_delay")
    @classmethod
    def _within_a_day(cls, time: timedelta) -> timedelta:
        if not timedelta(0) < time <= timedelta(days=1):
            raise ValueError("valid: a duration such as 30s, of a day at most")
        return time


class AlertsConfig(Contract):
    """Who is told of incidents beside the log."""

    http: str | None = Field(default=None, description="URL that takes incidents as JSON.")
    slack: str | None = Field(
        default=None,
        description="Airflow connection to Slack, of type Slack API or Slack Incoming Webhook; it needs the extra "
        "`slack`.",
    )
    channel: str | None = Field(
        default=None, description="Channel, for a connection of type Slack API; an incoming webhook has its own."
    )
    notifiers: tuple[dict[str, dict[str, Any]], ...] = Field(
        default=(),
        description="Airflow's notifiers for e-mail, PagerDuty and others: each a class by its path, with its "
        "arguments, in which `{{ alert.… }}` has what is told.",
    )
    runbook: str | None = Field(
        default=None,
        description="URL of a page with a section for each kind of incident, such as `#fault-rows`; without it "
        "messages name docs/runbook.md.",
    )

    @field_validator("notifiers")
    @classmethod
    def _names_one_class(cls, notifiers: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if any(len(one) != 1 or "." not in next(iter(one)) for one in notifiers):
            raise ValueError("valid: a list of classes with their arguments, {package.module.Class: {name: value}}")
        return notifiers

    @field_validator("http", "runbook")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("valid: a URL that begins with http:// or https://")
        return url
