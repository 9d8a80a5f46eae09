"""Alerts on simulated cells that fade, bend and stop: from their workbooks and messages to somebody who listens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.live import publish_live
from support.pipeline import Pipeline, take_unit_tests_as_passed
from support.webhook import Webhook, listening

from producer.simulate import Ageing, simulate_cell, simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime.now(UTC).replace(tzinfo=None)
BEGAN = NOW - timedelta(hours=9)
CELLS: dict[str, tuple[int, Ageing | None]] = {
    "SIM_WELL": (60, None),
    "SIM_NEW": (6, None),
    "SIM_FADES": (60, Ageing(fade=0.0012, knee=10_000)),
    "SIM_KNEE": (100, Ageing(fade=0.0002, knee=80, width=10)),
}


@dataclass
class Lab:
    """A pipeline whose alerts go to a receiver."""

    pipeline: Pipeline
    webhook: Webhook

    def refresh(self) -> None:
        self.pipeline.battery("stream", "--until-end")
        self.pipeline.battery("transform")

    def send(self, code: int = 0) -> str:
        return self.pipeline.battery("alerts", "send", code=code)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """All alerts that were received, in their order."""
        return [alert for message in self.webhook.alerts for alert in message["alerts"]]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """What the command shows, but for log lines."""
        said = self.pipeline.battery("alerts", "--json").splitlines()
        return [json.loads(line) for line in said if line.startswith("{")]


@pytest.fixture(scope="module")
def lab(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Workbooks of four cells, and the messages of two that were cycled live, until three hours ago and until now."""
    folder = tmp_path_factory.mktemp("alerts")
    with listening() as webhook:
        connection = {"AIRFLOW_CONN_BATTERY_ALERTS": webhook.connection, "BATTERY_TOPIC": "alerts"}
        pipeline = Pipeline(folder / "pipeline", broker, connection)
        workbooks = folder / "workbooks"
        workbooks.mkdir()
        for seed, (cell, (cycles, ageing)) in enumerate(CELLS.items()):
            simulate_cell(workbooks, cell, cycles=cycles, seed=seed, ageing=ageing, log_every=20)
        pipeline.battery("produce", str(workbooks))
        for cell, hours in (("SIM_STOPS", 6.0), ("SIM_RUNS", 9.0)):
            publish_live(pipeline, live_test(cell), BEGAN, hours=(0, hours))
        take_unit_tests_as_passed(pipeline.settings)
        lab = Lab(pipeline, webhook)
        lab.refresh()
        yield lab
        pipeline.end()


def live_test(cell: str) -> Any:
    """The readings of a test of several days."""
    return simulate_tests(cell, cycles=10, cycles_per_file=10)[0].test.readings


def kinds(alerts: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(alert["cell_id"], alert["kind"]) for alert in alerts}


def test_a_receiver_that_is_down_gets_all_of_it_once_when_it_is_up_again(lab: Lab) -> None:
    lab.webhook.status = 503
    assert "alerts cannot be sent by http at 127.0.0.1: it answered HTTP 503" in lab.send(code=2)
    assert lab.webhook.bodies == []
    lab.webhook.status = 200
    assert "in 1 message" in lab.send()
    assert len(lab.webhook.bodies) == 1


def test_cells_that_fade_bend_and_stop_are_told_and_those_that_are_well_are_not(lab: Lab) -> None:
    assert {("SIM_FADES", "fast_fade"), ("SIM_KNEE", "knee"), ("SIM_STOPS", "stopped")} <= kinds(lab.sent)
    assert {cell for cell, _ in kinds(lab.sent)} == {"SIM_FADES", "SIM_KNEE", "SIM_STOPS"}
    knee = next(alert for alert in lab.sent if alert["kind"] == "knee")
    assert 60 <= knee["since_cycle"] <= 90
    stopped = next(alert for alert in lab.sent if alert["kind"] == "stopped")
    assert stopped["value"] == pytest.approx(3, abs=0.3)


def test_a_second_run_sends_nothing_also_after_a_refresh_and_says_what_was_sent(lab: Lab) -> None:
    assert "no new alert" in lab.send()
    lab.pipeline.battery("transform", "--again")
    assert "no new alert" in lab.send()
    assert len(lab.webhook.bodies) == 1
    assert all(alert["sent_at"] for alert in lab.shown)


def test_an_object_store_without_secrets_holds_the_record(lab: Lab) -> None:
    record = json.loads((lab.pipeline.folder / "objects" / "alerts" / "sent.json").read_bytes())
    assert set(record["alerts"]) == {alert["alert_id"] for alert in lab.sent}
    assert str(lab.webhook.port) not in json.dumps(record)


def test_a_test_that_goes_on_is_no_longer_told_of(lab: Lab) -> None:
    publish_live(lab.pipeline, live_test("SIM_STOPS"), BEGAN, hours=(6, 9))
    lab.refresh()
    assert "no new alert" in lab.send()
    (gone,) = [alert for alert in lab.shown if alert["cell_id"] == "SIM_STOPS"]
    assert gone["withdrawn_at"]


def test_thresholds_of_a_group_change_what_is_told_and_a_changed_file_is_news(lab: Lab, tmp_path: Path) -> None:
    rules = tmp_path / "alerts.csv"
    lab.pipeline.battery("cells", "set", "SIM_FADES", "group=harsh")
    rules.write_text("cell_group,kind,threshold\nharsh,fast_fade,30\n,knee,off\n")
    lab.pipeline.extra["BATTERY_ALERT_RULES"] = str(rules)
    lab.pipeline.battery("transform")
    assert kinds([alert for alert in lab.shown if "withdrawn_at" not in alert]) <= {
        ("SIM_KNEE", "fast_fade"), ("SIM_KNEE", "end_of_life"),
    }  # fmt: skip
    rules.write_text("cell_group,kind,threshold\nharsh,fast_fade,4\n")
    assert "BATTERY_ALERT_RULES says, have changed" in lab.pipeline.battery("news")
    lab.pipeline.battery("transform")
    shown = {alert["alert_id"]: alert for alert in lab.shown}
    assert (shown["SIM_FADES/fast_fade"]["threshold"], shown["SIM_FADES/fast_fade"]["threshold_from"]) == (4, "group")
    assert "no new alert" in lab.send()  # both have been sent before


def test_a_bad_file_of_thresholds_is_refused_in_one_line_and_readers_keep_what_they_have(
    lab: Lab, tmp_path: Path
) -> None:
    rules = tmp_path / "alerts.csv"
    rules.write_text("cell_group,kind,threshold\n,knee,often\n")
    bad = Pipeline(lab.pipeline.folder, lab.pipeline.port, {**lab.pipeline.extra, "BATTERY_ALERT_RULES": str(rules)})
    complaint = f"BATTERY_ALERT_RULES={rules}, row 2, column threshold: 'often' is no threshold of knee"
    assert complaint in bad.battery("transform", code=2)
    assert "SIM_KNEE/knee" in {alert["alert_id"] for alert in lab.shown}


def test_readings_that_wait_to_land_or_to_be_published_are_no_silence(pipeline: Pipeline) -> None:
    with listening() as webhook:
        pipeline.extra["AIRFLOW_CONN_BATTERY_ALERTS"] = webhook.connection
        take_unit_tests_as_passed(pipeline.settings)
        lab = Lab(pipeline, webhook)
        for cell in ("SIM_STOPS", "SIM_RUNS"):
            publish_live(pipeline, live_test(cell), BEGAN, hours=(0, 6))
        lab.refresh()
        publish_live(pipeline, live_test("SIM_RUNS"), BEGAN, hours=(6, 9))
        assert "not told yet whether a test has stopped sending" in lab.send()
        assert lab.sent == []
        pipeline.battery("stream", "--until-end")  # and not yet published
        assert "sent 1 alert in 1 message" in lab.send()
        assert kinds(lab.sent) == {("SIM_STOPS", "stopped")}
