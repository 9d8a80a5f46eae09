from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from support.places import ROOT

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = ROOT / ".env.example"
COMPOSE = ROOT / "docker-compose.yml"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_example_lists_every_setting_and_what_compose_asks_for_and_no_other() -> None:
    listed = re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    asked_for = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE.read_text())) | {"COMPOSE_PROFILES"}
    assert sorted(listed) == sorted({name.upper() for name in Settings.model_fields} | asked_for)


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    with_example = load_settings()
    (tmp_path / ".env").unlink()
    assert with_example == load_settings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WINDOW_SECONDS", "none", "WINDOW_SECONDS"),
        ("COMMIT_INTERVAL_SECONDS", "0", "COMMIT_INTERVAL_SECONDS"),
        ("OBJECT_STORE", "gcs://bucket", "OBJECT_STORE: must be file://FOLDER or s3://BUCKET"),
        ("OBJECT_STORE", "s3://bucket", "needs MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY"),
        ("MINIO_ENDPOINT", "http://127.0.0.1:9000", "MINIO_ENDPOINT: must be HOST or HOST:PORT"),
        ("WAREHOUSE", ":memory:", "WAREHOUSE: must be the path"),
        ("WAREHOUSE", "data/building.duckdb", "WAREHOUSE: must not be named main, internal or building"),
        ("WAREHOUSE", "md:", "must name a database of letters"),
        ("WAREHOUSE", 'md:a"; drop database b', "must name a database of letters"),
        ("WAREHOUSE", "md:battery_db", "needs MOTHERDUCK_TOKEN"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "needs KAFKA_SASL_MECHANISM"),
        ("BATTERY_TOPIC", "no spaces", "BATTERY_TOPIC"),
        ("INSTRUMENT_MAX_VOLTAGE_V", "0", "INSTRUMENT_MAX_VOLTAGE_V: Input should be greater than 0"),
        ("INSTRUMENT_MAX_VOLTAGE_V", "inf", "INSTRUMENT_MAX_VOLTAGE_V"),
        ("INSTRUMENT_MAX_CURRENT_A", "-5", "INSTRUMENT_MAX_CURRENT_A: Input should be greater than 0"),
        ("INSTRUMENT_MAX_CURRENT_A", "nan", "INSTRUMENT_MAX_CURRENT_A"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BatteryError, match=re.escape(said)) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["my_minio:9000", "[::1]:9000", "minio"])
def test_a_minio_endpoint_is_a_host_of_any_name(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", endpoint)
    assert load_settings().minio_endpoint == endpoint


def test_an_env_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"BATTERY_TOPIC=\xff\xfe")
    with pytest.raises(BatteryError, match=r"\.env is not UTF-8"):
        load_settings()


def test_an_env_file_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied", ".env")

    monkeypatch.setattr("kernel.base.settings.Settings", refuse)
    with pytest.raises(BatteryError, match=r"^invalid settings: \.env cannot be read: Permission denied$"):
        load_settings()


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERDUCK_TOKEN", "hush-token")
    monkeypatch.setenv("MINIO_SECRET_KEY", "hush-key")
    monkeypatch.setenv("WINDOW_SECONDS", "none")
    with pytest.raises(BatteryError) as caught:
        load_settings()
    monkeypatch.delenv("WINDOW_SECONDS")
    assert "hush" not in str(caught.value) + repr(load_settings()) + load_settings().model_dump_json()


def test_an_empty_file_of_cells_as_compose_passes_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATTERY_CELLS", "")
    assert load_settings().battery_cells is None


def test_the_order_of_dates_is_one_of_three_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATE_ORDER", "")
    assert load_settings().date_order is None
    monkeypatch.setenv("DATE_ORDER", "dmy")
    assert load_settings().date_order == "dmy"
    monkeypatch.setenv("DATE_ORDER", "day first")
    with pytest.raises(BatteryError, match="DATE_ORDER: Input should be 'dmy', 'mdy' or 'ymd'"):
        load_settings()


def test_a_pattern_of_cells_has_a_group_for_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELL_PATTERN", "")
    monkeypatch.setenv("MAPPING_FILE", "")
    assert (load_settings().cell_pattern, load_settings().mapping_file) == (None, None)
    monkeypatch.setenv("CELL_PATTERN", r"(?P<cell>C\d+)_")
    assert load_settings().cell_pattern == r"(?P<cell>C\d+)_"
    for pattern, said in ((r"C\d+", "needs a group"), ("(", "is no regular expression")):
        monkeypatch.setenv("CELL_PATTERN", pattern)
        with pytest.raises(BatteryError, match=rf"CELL_PATTERN: .* {said}"):
            load_settings()


POSTGRES = "postgresql://lab@db/battery"


@pytest.mark.parametrize(
    ("given", "processes", "shared"),
    [
        ({"warehouse": POSTGRES}, 3, (3, 48)),
        ({"warehouse": POSTGRES, "lanes": 4}, 2, (4, 64)),
        ({"warehouse": POSTGRES, "lanes": 4, "cell_groups": 20}, 5, (5, 20)),
        ({"warehouse": POSTGRES, "cell_groups": 10}, 3, (1, 10)),
        ({"warehouse": POSTGRES}, 1000, (64, 4096)),
        ({"warehouse": "lab.duckdb"}, 3, (1, 48)),
        ({"warehouse": "lab.duckdb", "lanes": 3}, 3, (3, 48)),
    ],
)
def test_each_process_of_a_cluster_has_a_lane_where_lanes_land_side_by_side(
    given: dict[str, Any], processes: int, shared: tuple[int, int]
) -> None:
    settings = Settings(**given)
    found = settings.lanes_among(processes), settings.groups_among(processes)
    assert found == shared
    Settings(**given | {"lanes": found[0], "cell_groups": found[1]})  # which its processes can have


def test_a_lane_takes_whole_groups_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANES", "2")
    monkeypatch.setenv("CELL_GROUPS", "4")
    assert load_settings().groups == 4
    monkeypatch.setenv("CELL_GROUPS", "3")
    with pytest.raises(BatteryError, match="CELL_GROUPS=3 is not a multiple of LANES=2"):
        load_settings()
