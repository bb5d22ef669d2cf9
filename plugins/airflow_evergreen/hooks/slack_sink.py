"""Slack, by an Airflow connection: the Web API or an incoming webhook."""

import re
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_evergreen.hooks.slack_blocks import build_blocks, build_summary
from evergreen.errors import Outage, needs_extra
from evergreen.outside_calls import answer_within
from evergreen.sinks import TELLING, Message

# Seconds: how long Slack may take for an answer, and how long we wait if it asks us to.
_TIMEOUT, _PATIENCE = 10, 10
# A message that somebody has deleted, or that has grown too old, cannot be edited: it is posted anew.
_GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}
# What Slack answers where the app may not look whether a message is there.
_BLIND = {"missing_scope", "not_in_channel", "channel_not_found", "not_allowed_token_type"}
_CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{6,}")
_EVENT = "evergreen_alert"


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
                answer_within(TELLING, partial(self._post_to_webhook, message), "Slack")
                return None
            return answer_within(TELLING, partial(self._post_to_api, message), "Slack")
        except Exception as error:
            raise Outage(f"Slack did not accept {message.incident}: {error}") from error

    def _post_to_webhook(self, message: Message) -> None:
        with needs_extra("slack", f"connection {self.slack_conn_id}"):
            from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        # Slack's own handlers send again what may have been taken.
        hook = SlackWebhookHook(slack_webhook_conn_id=self.slack_conn_id, timeout=_TIMEOUT, retry_handlers=[])
        hook.send(text=build_summary(message), blocks=build_blocks(message, whole=False))

    def _post_to_api(self, message: Message) -> str:
        with needs_extra("slack", f"connection {self.slack_conn_id}"):
            from airflow.providers.slack.hooks.slack import SlackHook
            from slack_sdk.errors import SlackApiError

        hook = SlackHook(slack_conn_id=self.slack_conn_id, timeout=_TIMEOUT, retry_handlers=[])
        named = {"metadata": {"event_type": _EVENT, "event_payload": {"id": message.id}}, "unfurl_links": False}
        channel, _, stamp = message.receipt.partition(" ")
        body: dict[str, Any] = {"text": build_summary(message), "blocks": build_blocks(message)}
        if stamp:
            try:
                answer = _call(hook, "chat.update", json={"channel": channel, "ts": stamp, **body})
            except SlackApiError as error:
                if error.response["error"] not in _GONE:
                    raise
            else:
                if message.anew and not _find(hook, message, channel, stamp):
                    news = {**body, "blocks": build_blocks(message, whole=False), **named}
                    thread = {"channel": channel, "thread_ts": stamp, "reply_broadcast": True}
                    _call(hook, "chat.postMessage", json={**thread, **news})
                return f"{answer['channel']} {answer['ts']}"
        if there := _find(hook, message, self.channel or ""):
            return f"{self.channel} {there}"
        answer = _call(hook, "chat.postMessage", json={"channel": self.channel, **body, **named})
        return f"{answer['channel']} {answer['ts']}"


def _find(hook: Any, message: Message, channel: str, thread: str = "") -> str:
    """The time stamp under which an earlier try has posted a message; empty if none has, or we may not look.

    :param channel: its id; by a channel's name Slack shows nothing.
    :param thread: the message in whose thread it would stand.
    """
    from slack_sdk.errors import SlackApiError

    if not message.tried or not _CHANNEL_ID.fullmatch(channel):
        return ""
    since = datetime.fromisoformat(message.tried) - timedelta(minutes=1)
    asked = {"channel": channel, "oldest": f"{since.timestamp():.6f}", "include_all_metadata": 1, "limit": 200}
    where = {"ts": thread} if thread else {}
    try:
        method = "conversations.replies" if thread else "conversations.history"
        answer = _call(hook, method, http_verb="GET", params={**asked, **where})
    except SlackApiError as error:
        if error.response["error"] not in _BLIND:
            raise
        return ""
    ids = {one.get("metadata", {}).get("event_payload", {}).get("id"): one["ts"] for one in answer["messages"]}
    return str(ids.get(message.id, ""))


def _call(hook: Any, method: str, **options: Any) -> Any:
    """Call Slack, once more if it asks us to wait for a moment; whoever has to wait longer is told by a later run."""
    from slack_sdk.errors import SlackApiError

    try:
        return hook.call(method, **options)
    except SlackApiError as error:
        response: Any = error.response
        headers = {name.lower(): value for name, value in response.headers.items()}
        wait = int(headers.get("retry-after", 0)) if response.status_code == 429 else 0
        if not 0 < wait <= _PATIENCE:
            raise
        time.sleep(wait)
        return hook.call(method, **options)
