"""Slack, by an Airflow connection: the Web API or an incoming webhook."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from evergreen.errors import Outage, needs_extra
from evergreen.foreign_text import SLACK_HEADER, SLACK_SECTION, for_slack
from evergreen.sinks import Message

_OPEN, _OVER = "\N{LARGE ORANGE CIRCLE}", "\N{LARGE GREEN CIRCLE}"
_TIMEOUT = 10
# A message that somebody has deleted, or that has grown too old, cannot be edited: it is posted anew.
_GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}


class SlackSink:
    """Tell incidents in Slack.

    A connection of type ``slack`` posts through the Web API and edits its own message when an incident is seen again
    or is over, below what it said before; what is news is posted in the message's thread too, and so to the channel.
    One of type ``slackwebhook`` can only post.

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
        hook.send(text=_summary(message), blocks=_blocks(message, (message.text,)))

    def _post_to_api(self, message: Message) -> str:
        with needs_extra("slack", f"connection {self.slack_conn_id}"):
            from airflow.providers.slack.hooks.slack import SlackHook
            from slack_sdk.errors import SlackApiError

        hook = SlackHook(slack_conn_id=self.slack_conn_id, timeout=_TIMEOUT)
        channel, _, stamp = message.receipt.partition(" ")
        body: dict[str, Any] = {"text": _summary(message), "blocks": _blocks(message, (*message.earlier, message.text))}
        if stamp:
            try:
                answer = hook.call("chat.update", json={"channel": channel, "ts": stamp, **body})
                if message.anew:
                    news = {"text": body["text"], "blocks": _blocks(message, (message.text,))}
                    thread = {"channel": channel, "thread_ts": stamp, "reply_broadcast": True}
                    hook.call("chat.postMessage", json={**thread, **news})
            except SlackApiError as error:
                if error.response["error"] not in _GONE:
                    raise
            else:
                return f"{answer['channel']} {answer['ts']}"
        answer = hook.call("chat.postMessage", json={"channel": self.channel, **body})
        return f"{answer['channel']} {answer['ts']}"


def _summary(message: Message, most: int = SLACK_SECTION) -> str:
    """The text of notifications, of clients that show no blocks, and of the heading."""
    told = f"{message.title or message.model}: {message.incident} {message.event}, batch {message.as_of}"
    return for_slack(told, most)


def _blocks(message: Message, texts: Sequence[str]) -> list[dict[str, Any]]:
    """A heading, the texts as they are, and a link."""
    icon = _OVER if message.event == "resolved" else _OPEN
    again = f", reported {message.sightings} times" if message.sightings > 1 else ""
    room = SLACK_HEADER - len(again) - 2
    blocks = [
        {"type": "header", "text": _plain(f"{icon} {_summary(message, room)}{again}")},
        *({"type": "section", "text": _plain(for_slack(text))} for text in texts),
    ]
    if message.link:
        link = {"type": "mrkdwn", "text": f"<{for_slack(message.link).replace('|', '%7C')}|Open in Airflow>"}
        blocks.append({"type": "section", "text": link})
    return blocks


def _plain(text: str) -> dict[str, Any]:
    """Text of which Slack reads neither emphasis nor mentions; names of emojis stay names."""
    return {"type": "plain_text", "text": text, "emoji": False}
