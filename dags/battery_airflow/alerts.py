"""Alerts by one Airflow connection, `battery_alerts`, whose type decides how they are sent.

It is a Slack incoming webhook, an SMTP server, or any HTTP endpoint, which gets JSON. Without the connection, a line in
the log takes the place of the alert.
"""

from __future__ import annotations

import html
import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseHook, BaseNotifier, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowSkipException

from battery_airflow.command import FAILURE

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context, XComArg

CONNECTION: Final = "battery_alerts"


class Alert(BaseNotifier):
    """Send a message by the connection `battery_alerts`.

    Args:
        event: `success`, `failure` or `late`.
        subject: what has happened, in a few words.
        text: what was found; may have several lines.
        context: what Airflow gives to a notifier.
    """

    def __init__(self, event: str, subject: str, text: str, context: Context | None = None) -> None:
        super().__init__(context=context)
        self.event = event
        self.subject = subject
        self.text = text

    def notify(self, context: Context) -> None:
        """Send it.

        Raises:
            AirflowException: the type of the connection is not supported, or it lacks the address of an e-mail.
        """
        try:
            connection = BaseHook.get_connection(CONNECTION)
        except AirflowNotFoundException:
            self.log.warning(
                "no alert was sent: there is no Airflow connection of that name", connection=CONNECTION, text=self.text
            )
            return
        self._by(connection).notify(context)
        self.log.info("alert sent", event_kind=self.event, subject=self.subject, by=connection.conn_type)

    def _by(self, connection: Connection) -> BaseNotifier:
        text = f"{self.subject}\n{self.text}"
        if connection.conn_type == "slackwebhook":
            return SlackWebhookNotifier(slack_webhook_conn_id=CONNECTION, text=text)
        if connection.conn_type == "smtp":
            extra = connection.extra_dejson
            if not extra.get("to"):
                raise AirflowException(
                    f'the Airflow connection {CONNECTION} needs "to" in its extra: an e-mail address'
                )
            return SmtpNotifier(
                smtp_conn_id=CONNECTION,
                to=extra["to"],
                from_email=extra.get("from_email"),
                subject=self.subject,
                html_content=f"<pre>{html.escape(text)}</pre>",
            )
        if connection.conn_type in {"http", "https"}:
            return HttpNotifier(
                http_conn_id=CONNECTION, json={"event": self.event, "subject": self.subject, "text": self.text}
            )
        raise AirflowException(
            f"the Airflow connection {CONNECTION} is of type {connection.conn_type}; alerts go by slackwebhook, smtp "
            "or http"
        )


def connection_for_command() -> dict[str, str]:
    """The connection as the pipeline's command reads it, for alerts on cells; nothing where there is none.

    Airflow may keep it in its database, of which the command knows nothing.
    """
    try:
        connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        return {}
    parts = {name: getattr(connection, name) for name in ("conn_type", "host", "port", "schema", "login", "password")}
    return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps({**parts, "extra": connection.extra_dejson})}


def send_outcome(context: Context) -> None:
    """Send an alert about a run: what failed and why, or what it has published.

    Raises:
        AirflowSkipException: there is nothing to send: nothing was new, or BATTERY_ALERTS=failures and no task failed.
        AirflowException: the alert could not be sent.
    """
    us = context["ti"]
    dag_id, run_id = us.dag_id, us.run_id
    states: dict[str, Any] = us.get_task_states(dag_id=dag_id, run_ids=[run_id])[run_id]
    failed = sorted(name for name, state in states.items() if str(state) == "failed" and name != us.task_id)
    if failed:
        reasons = {name: us.xcom_pull(task_ids=name, key=FAILURE) or "see its log in Airflow" for name in failed}
        text = "\n".join(f"{name}: {reason}" for name, reason in reasons.items())
        Alert("failure", f"{dag_id} has failed: {', '.join(failed)}", f"{text}\nrun: {run_id}")(context)
        return
    if str(states.get("publish")) != "success":
        raise AirflowSkipException("there was nothing new, so there is nothing to tell")
    if os.environ.get("BATTERY_ALERTS") == "failures":
        raise AirflowSkipException("all is well, and BATTERY_ALERTS=failures")
    Alert("success", f"{dag_id} is done", f"{us.xcom_pull(task_ids='publish')}\nrun: {run_id}")(context)


def notify() -> XComArg:
    """The task `notify` that ends a DAG: it always runs, and its own state does not decide that of the run."""

    @task(task_id="notify", retries=5, retry_delay=timedelta(seconds=30))
    def send() -> None:
        send_outcome(get_current_context())

    last = send()
    last.as_teardown()
    return last
