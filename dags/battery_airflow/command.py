"""The operator that runs the pipeline's own command as a task.

The command may be installed in another environment than Airflow. BATTERY_COMMAND names it where it is neither beside
Airflow's Python nor on the PATH. BATTERY_WORK_DIR names the folder that relative settings are relative to. All other
settings come from the environment of the task.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

FAILURE: Final = "failure"
"""The XCom key of the line that says why a task failed, for alerts."""

_LEVELS: Final = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning"}
_COMPLAINT: Final = "battery: "

_OWN: Final = frozenset({"event", "level", "timestamp", "self", "logger"})
"""Fields that a log line of Airflow's has itself, or cannot have."""


class BatteryOperator(BaseOperator):
    """Run `battery` with arguments: its output becomes the task's log, its exit code decides the task's state.

    Lines in JSON, those of dbt included, keep their level and their fields in the log. The last other line is the
    task's result.

    Args:
        arguments: those after `battery`, or a function that makes them from the task's context.
        skip_on_exit_code: the exit code that skips this task and those that follow it; by default none does.
        environment: makes variables that the command gets besides those of the task; by default none.
        options: those of any operator.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[str] | Callable[[Context], Sequence[str]],
        skip_on_exit_code: int | None = None,
        environment: Callable[[], Mapping[str, str]] | None = None,
        **options: Any,  # noqa: ANN401  # whatever an operator takes
    ) -> None:
        super().__init__(**options)
        self.arguments = arguments
        self.skip_on_exit_code = skip_on_exit_code
        self.environment = environment
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> str:
        """Run the command to its end.

        Returns:
            The last line that it printed, other than its log.

        Raises:
            AirflowSkipException: it exited with `skip_on_exit_code`.
            AirflowException: it cannot be run, or exited with another code than 0; the message has its error.
        """
        arguments = self.arguments(context) if callable(self.arguments) else self.arguments
        command = [battery_command(), *arguments]
        folder = os.environ.get("BATTERY_WORK_DIR") or "."
        self.log.info("running", command=" ".join(command), folder=folder)
        try:
            self._process = subprocess.Popen(  # an argument list, without a shell
                command,
                cwd=folder,
                env={**os.environ, "LOG_FORMAT": "json", **(self.environment() if self.environment else {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                start_new_session=True,
            )
        except OSError as error:
            raise AirflowException(
                f"cannot run {command[0]} in {folder}: {error.strerror}; BATTERY_COMMAND names the pipeline's command, "
                "BATTERY_WORK_DIR its folder"
            ) from error
        last, complaint = "", ""
        try:
            for line in self._process.stdout or ():
                text = line.rstrip()
                complaint = complaint_of(text) or complaint
                if self._tell(text):
                    continue
                last = text or last
        except BaseException:
            self.on_kill()  # otherwise the command would still run during the next try
            raise
        code = self._process.wait()
        if code == 0:
            return last
        if code == self.skip_on_exit_code:
            raise AirflowSkipException(last)
        reason = complaint or last or "it printed nothing"
        context["ti"].xcom_push(key=FAILURE, value=reason)
        raise AirflowException(f"battery {' '.join(arguments)} exited with {code}: {reason}")

    def on_kill(self) -> None:
        """End the command by SIGTERM: it finishes or undoes what it is doing."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _tell(self, text: str) -> bool:
        """Log a line of output; returns whether it was a line of the command's log."""
        level, event, fields = parse_line(text)
        if event:
            getattr(self.log, level)(event, **fields)
        return event != text


def battery_command() -> str:
    """The pipeline's command: that of BATTERY_COMMAND, of Airflow's own environment, or on the PATH."""
    beside = Path(sys.executable).with_name("battery")
    return os.environ.get("BATTERY_COMMAND") or (str(beside) if beside.exists() else "battery")


def complaint_of(text: str) -> str | None:
    """The error of a line with which a command ends; None for any other line."""
    if text.startswith(_COMPLAINT):
        return text.removeprefix(_COMPLAINT)
    _, event, fields = parse_line(text)
    return event if fields.get("complaint") is True else None


def parse_line(text: str) -> tuple[str, str, Mapping[str, Any]]:
    """Level, message and fields of a line: of the pipeline's log, of dbt's, or plain text."""
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return ("error" if text.startswith(_COMPLAINT) else "info"), text, {}
    if isinstance(told.get("info"), dict) and isinstance(told.get("data"), dict):  # dbt
        node = told["data"].get("node_info")
        fields = {"node": node["unique_id"]} if isinstance(node, dict) and node.get("unique_id") else {}
        return _LEVELS.get(str(told["info"].get("level")), "error"), str(told["info"].get("msg", "")).strip(), fields
    if "event" not in told:  # what a command prints with --json
        return "info", text, {}
    level = _LEVELS.get(str(told.get("level", "info")), "error")
    return level, str(told["event"]), {name: value for name, value in told.items() if name not in _OWN}
