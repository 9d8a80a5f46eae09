"""What the DAGs are: their tasks, schedules and parameters, and how they run the pipeline's command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from support.airflow import BIN
from support.mail import getting_mails
from support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from support.airflow import Airflow
    from support.webhook import Webhook

DESCRIBE = """
import json, warnings
print(json.dumps({
    name: {
        "schedule": str(dag.schedule), "catchup": dag.catchup, "active": dag.max_active_runs,
        "tasks": [(task.task_id, sorted(task.downstream_task_ids), task.pool) for task in dag.topological_sort()],
        "params": sorted(dag.params),
    }
    for name, dag in bag.dags.items()
}))
"""


def test_the_dags_import_without_error_or_warning(airflow: Airflow) -> None:
    done = airflow.python("print(bag.captured_warnings, sorted(bag.dags))", PYTHONWARNINGS="default")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "{} ['battery_maintenance', 'battery_pipeline', 'battery_replay']"


def test_tasks_their_order_and_the_one_slot_pool_of_those_that_use_the_warehouse(airflow: Airflow) -> None:
    found = json.loads(airflow.python(DESCRIBE).stdout.splitlines()[-1])
    pool = "battery_warehouse"
    assert found["battery_pipeline"] == {
        "schedule": "@hourly",
        "catchup": False,
        "active": 1,
        "tasks": [
            ["check_stream", ["check_new_data"], pool],
            ["check_new_data", ["clean_battery_data"], pool],
            ["clean_battery_data", ["build_features"], pool],
            ["build_features", ["build_marts"], pool],
            ["build_marts", ["test_models"], pool],
            ["test_models", ["publish"], pool],
            ["publish", ["notify", "send_alerts"], pool],
            ["send_alerts", [], "default_pool"],
            ["notify", [], "default_pool"],
        ],
        "params": [],
    }
    assert found["battery_maintenance"]["tasks"] == [
        ["sweep_objects", ["compact_objects"], pool],
        ["compact_objects", ["verify"], pool],
        ["verify", ["notify"], pool],
        ["notify", [], "default_pool"],
    ]
    assert found["battery_maintenance"]["schedule"] == "30 3 * * *"
    assert found["battery_replay"] == {
        "schedule": "None",
        "catchup": False,
        "active": 1,
        "tasks": [
            ["replay", ["refresh"], pool],
            ["refresh", ["notify"], "default_pool"],
            ["notify", [], "default_pool"],
        ],
        "params": ["dry_run", "from_archive", "from_beginning", "from_offset", "from_time"],
    }


def test_iceberg_tables_follow_what_was_merged_where_a_setting_asks_for_them(airflow: Airflow) -> None:
    code = f"bag = DagBag(bag.dag_folder)\n{DESCRIBE}"
    found = json.loads(airflow.python(code, ICEBERG_CATALOG="sql").stdout.splitlines()[-1])
    tasks = {name: (after, pool) for name, after, pool in found["battery_maintenance"]["tasks"]}
    assert tasks["compact_objects"] == (["publish_iceberg", "verify"], "battery_warehouse")
    assert tasks["publish_iceberg"] == (["notify"], "battery_warehouse")
    assert tasks["verify"] == (["notify"], "battery_warehouse")


def test_a_deadline_is_set_where_airflows_own_processes_read_the_dag(airflow: Airflow) -> None:
    code = (
        "print([str(deadline.interval) for deadline in DagBag(bag.dag_folder).dags['battery_pipeline'].deadline or ()])"
    )
    assert airflow.python(code).stdout.splitlines()[-1] == "[]"
    scheduled = {"_AIRFLOW_PROCESS_CONTEXT": "client", "BATTERY_DEADLINE_MINUTES": "7.5"}
    assert airflow.python(code, **scheduled).stdout.splitlines()[-1] == "['0:07:30']"


REPLAY = """
from battery_replay import replay_arguments
given = {"from_beginning": False, "from_offset": [], "from_time": None, "from_archive": False, "dry_run": False}
for params in (
    {"from_beginning": True}, {"from_offset": ["0:1", "3:44"], "dry_run": True},
    {"from_time": "2026-11-26T08:00:00"}, {"from_archive": True},
):
    print(*replay_arguments({"params": given | params}))
"""


def test_the_parameters_of_a_replay_become_the_options_of_the_command(airflow: Airflow) -> None:
    assert airflow.python(REPLAY).stdout.splitlines()[-4:] == [
        "replay --from-beginning",
        "replay --from-offset 0:1 --from-offset 3:44 --dry-run",
        "replay --from-time 2026-11-26T08:00:00",
        "replay --from-archive",
    ]


LINES: dict[str, list[object]] = {
    "published 3 models": ["info", "published 3 models", {}],
    "battery: no broker answers": ["error", "battery: no broker answers", {}],
    '{"event": "waiting", "level": "warning", "timestamp": "…", "to": "commit", "seconds": 3}': [
        "warning",
        "waiting",
        {"to": "commit", "seconds": 3},
    ],
    '{"info": {"level": "error", "msg": " FAIL 1 a_test "}, "data": {"node_info": {"unique_id": "test.a"}}}': [
        "error",
        "FAIL 1 a_test",
        {"node": "test.a"},
    ],
    '{"info": {"level": "warn", "msg": "old"}, "data": {"node_info": "x"}}': ["warning", "old", {}],
    '{"event": 7, "level": ["odd"], "self": 1, "to": 2}': ["error", "7", {"to": 2}],
    '{"ok": true}': ["info", '{"ok": true}', {}],
    "[1]": ["info", "[1]", {}],
}


def test_a_line_of_output_keeps_its_level_and_its_fields_in_the_task_log(airflow: Airflow) -> None:
    done = airflow.python(
        f"import json\nfrom battery_airflow.command import parse_line\n"
        f"print(json.dumps([parse_line(line) for line in {list(LINES)!r}]))"
    )
    assert json.loads(done.stdout.splitlines()[-1]) == list(LINES.values())


def test_what_a_command_ended_with_is_told_apart_from_the_rest_of_its_log(airflow: Airflow) -> None:
    lines = [
        "battery: no broker answers",
        '{"event": "no broker answers", "level": "error", "complaint": true}',
        '{"event": "the refresh failed", "level": "error"}',
        "published 3 models",
    ]
    done = airflow.python(
        f"import json\nfrom battery_airflow.command import complaint_of\n"
        f"print(json.dumps([complaint_of(line) for line in {lines!r}]))"
    )
    assert json.loads(done.stdout.splitlines()[-1]) == ["no broker answers", "no broker answers", None, None]


COMMAND = """
import os
from battery_airflow.command import BatteryOperator, battery_command
print(battery_command())
os.environ["BATTERY_COMMAND"] = "/nowhere/battery"
try:
    BatteryOperator(task_id="a", arguments=["status"]).execute({})
except Exception as error:
    print(error)
"""


def test_the_command_is_that_of_airflows_own_environment_unless_it_is_named(airflow: Airflow) -> None:
    said = airflow.python(COMMAND, BATTERY_COMMAND="").stdout.splitlines()
    refused = said[-1]
    assert str(BIN / "battery") in said
    assert refused.startswith("cannot run /nowhere/battery in .: No such file or directory; BATTERY_COMMAND names")


RUN_TWICE = """
import os
dag = bag.dags["battery_pipeline"]
for task in dag.tasks:
    task.retries = 0
for codes in ("3 0", "0 99"):
    os.environ["CODES"] = codes
    print("state:", dag.test().state)
"""


def test_only_the_search_for_news_may_skip_what_comes_behind_it_and_with_its_own_code_alone(
    airflow: Airflow, tmp_path: Path
) -> None:
    command = tmp_path / "battery"
    command.write_text('#!/bin/sh\nset -- "$1" $CODES\n[ "$1" = status ] && exit $2\nexit $3\n')
    command.chmod(0o755)
    done = airflow.python(RUN_TWICE, BATTERY_COMMAND=str(command))
    assert [line for line in done.stdout.splitlines() if line.startswith("state:")] == ["state: failed"] * 2


ALERTS = """
import json, os
from battery_airflow.alerts import Alert
for connection in json.loads(os.environ["CONNECTIONS"]):
    if connection is not None:
        os.environ["AIRFLOW_CONN_BATTERY_ALERTS"] = json.dumps(connection)
    try:
        Alert("failure", "it has failed", "test_models: <why>")({})
    except Exception as error:
        print("error:", error)
    else:
        print("sent")
"""


@dataclass(frozen=True)
class Alerts:
    """What became of one alert by each kind of connection, and what was received."""

    outcomes: dict[str, str]
    log: str
    posted: list[dict[str, Any]]
    mails: list[bytes]


@pytest.fixture(scope="module")
def alerts(airflow: Airflow, webhook: Webhook) -> Alerts:
    here = f"http://127.0.0.1:{webhook.port}"
    with getting_mails() as (port, mails):
        mail = {"to": "lab@example.org", "from_email": "battery@example.org", "disable_ssl": True, "disable_tls": True}
        connections = {
            "none": None,
            "slack": {"conn_type": "slackwebhook", "host": here, "password": "T0/B0/X"},
            "http": {"conn_type": "http", "host": f"{here}/hook"},
            "mail": {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": mail},
            "mail to nobody": {"conn_type": "smtp", "host": "127.0.0.1"},
            "database": {"conn_type": "postgres"},
        }
        done = airflow.python(ALERTS, CONNECTIONS=json.dumps(list(connections.values())))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line == "sent" or line.startswith("error:")]
    return Alerts(dict(zip(connections, said, strict=True)), done.stdout, webhook.alerts, mails)


def test_an_alert_goes_to_a_slack_webhook(alerts: Alerts) -> None:
    assert alerts.outcomes["slack"] == "sent"
    assert alerts.posted[0]["text"] == "it has failed\ntest_models: <why>"


def test_an_alert_goes_to_any_http_endpoint_as_json(alerts: Alerts) -> None:
    assert alerts.outcomes["http"] == "sent"
    assert alerts.posted[1] == {"event": "failure", "subject": "it has failed", "text": "test_models: <why>"}


def test_an_alert_goes_out_by_mail(alerts: Alerts) -> None:
    assert alerts.outcomes["mail"] == "sent"
    mail = message_from_bytes(alerts.mails[0])
    assert (mail["Subject"], mail["To"], mail["From"]) == ("it has failed", "lab@example.org", "battery@example.org")
    [part] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    text = part.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"test_models: &lt;why&gt;" in text


def test_without_the_connection_there_is_a_line_in_the_log_and_no_failure(alerts: Alerts) -> None:
    assert alerts.outcomes["none"] == "sent"
    assert "no alert was sent: there is no Airflow connection of that name" in alerts.log


def test_a_connection_that_no_alert_can_go_by_is_an_error_that_says_what_can(alerts: Alerts) -> None:
    assert "is of type postgres; alerts go by slackwebhook, smtp or http" in alerts.outcomes["database"]
    assert 'needs "to" in its extra' in alerts.outcomes["mail to nobody"]


def test_the_plugin_makes_the_pool_once_as_airflow_starts(airflow: Airflow) -> None:
    code = """
from airflow.jobs.job import Job
from airflow.models.pool import Pool
Job()
found = Pool.get_pool("battery_warehouse")
print(found.slots)
Pool.create_or_update_pool("battery_warehouse", 2, "changed by hand", include_deferred=False)
Job()
print(Pool.get_pool("battery_warehouse").slots)
"""
    done = airflow.python(code)
    assert done.stdout.splitlines()[-2:] == ["1", "2"], done.stdout + done.stderr


def test_what_the_dags_share_is_not_taken_for_a_dag_file(airflow: Airflow) -> None:
    assert (ROOT / "dags" / ".airflowignore").read_text().split() == ["battery_airflow"]
    done = airflow.python("print([str(stat.file) for stat in bag.dagbag_stats])")
    assert "battery_airflow" not in done.stdout.splitlines()[-1]
