"""Slack, by an Airflow connection: the Web API or an incoming webhook."""

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from evergreen.errors import Outage, needs_extra
from evergreen.sinks import Message

_ICONS = {"opened": ":large_orange_circle:", "seen again": ":large_orange_circle:", "resolved": ":large_green_circle:"}
_TIMEOUT = 10
# A message that somebody has deleted, or that has grown too old, cannot be edited: it is posted anew.
_GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}


class SlackSink:
    """Tell incidents in Slack.

    A connection of type ``slack`` posts through the Web API and edits its own message when an incident is seen again
    or is over; one of type ``slackwebhook`` can only post.

    :param slack_conn_id: the connection's id.
    :param channel: where to post; only the Web API needs it.
    """

    def __init__(self, slack_conn_id: str, channel: str | None = None) -> None:
        self.name = f"slack-{slack_conn_id}"
        self.slack_conn_id, self.channel = slack_conn_id, channel

    @staticmethod
    def configured(slack_conn_id: str) -> bool:
        """Whether there is such a connection."""
        try:
            BaseHook.get_connection(slack_conn_id)
        except AirflowNotFoundException:
            return False
        return True

    def tell(self, message: Message) -> str | None:
        """Post, or edit what was posted of this incident before.

        :returns: channel and time stamp of the message, by which it can be edited; None from a webhook.
        :raises Outage: if Slack did not accept it.
        """
        try:
            if BaseHook.get_connection(self.slack_conn_id).conn_type == "slackwebhook":
                self._post_to_webhook(message)
                return None
            return self._post_to_api(message)
        except Exception as error:
            raise Outage(f"Slack did not accept {message.incident}: {error}") from error

    def _post_to_webhook(self, message: Message) -> None:
        with needs_extra("slack", f"connection {self.slack_conn_id}"):
            from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(slack_webhook_conn_id=self.slack_conn_id, timeout=_TIMEOUT)
        hook.send(text=_plain(message), blocks=_blocks(message))

    def _post_to_api(self, message: Message) -> str:
        with needs_extra("slack", f"connection {self.slack_conn_id}"):
            from airflow.providers.slack.hooks.slack import SlackHook
            from slack_sdk.errors import SlackApiError

        hook = SlackHook(slack_conn_id=self.slack_conn_id, timeout=_TIMEOUT)
        channel, _, stamp = message.receipt.partition(" ")
        body: dict[str, Any] = {"text": _plain(message), "blocks": _blocks(message)}
        if stamp:
            try:
                answer = hook.call("chat.update", json={"channel": channel, "ts": stamp, **body})
            except SlackApiError as error:
                if error.response["error"] not in _GONE:
                    raise
            else:
                return f"{answer['channel']} {answer['ts']}"
        answer = hook.call("chat.postMessage", json={"channel": self.channel, **body})
        return f"{answer['channel']} {answer['ts']}"


def _plain(message: Message) -> str:
    """The text of notifications and of clients that show no blocks."""
    return f"{message.title or message.model}: {message.incident} {message.event}, batch {message.as_of}"


def _blocks(message: Message) -> list[dict[str, Any]]:
    icon = _ICONS.get(message.event, "")
    again = f", reported {message.sightings} times" if message.sightings > 1 else ""
    blocks = [
        _section(f"{icon} *{_escape(_plain(message))}*{again}"),
        # Slack takes 3,000 characters a section; what is longer stands in the log that the link leads to.
        _section(_escape(message.text)[:2900]),
    ]
    return [*blocks, _section(f"<{message.link}|Open in Airflow>")] if message.link else blocks


def _escape(text: str) -> str:
    """A value of the data must not page a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
