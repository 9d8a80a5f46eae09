"""Which kind of warehouse an address names, and what follows from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from kernel.base.settings import Settings
from kernel.base.warehouse_address import parse_warehouse

REPOSITORY = Path(__file__).resolve().parents[4]
ROOMS = ("battery", "benchmarks", "dags", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")


def test_a_path_is_a_file_with_one_user_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = Settings(warehouse="lab/battery.duckdb").warehouse_address
    assert address.file == tmp_path / "lab" / "battery.duckdb"
    assert address.dbt_path == str(tmp_path / "lab" / "battery.duckdb")
    assert address.work_folder == tmp_path / "lab"
    assert (address.database, address.dbt_target, address.admits_readers) == ("battery", "local", False)
    assert not address.required_settings


def test_md_is_a_database_of_a_service_that_admits_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = Settings(warehouse="md:battery_db", motherduck_token=SecretStr("hush")).warehouse_address
    assert (address.file, address.dbt_path) == (None, "md:battery_db")
    assert address.work_folder == tmp_path / "data"
    assert (address.database, address.dbt_target, address.admits_readers) == ("battery_db", "motherduck", True)
    assert list(address.required_settings) == ["MOTHERDUCK_TOKEN"]
    assert "hush" not in repr(address)


@pytest.mark.parametrize("text", ["", ":memory:", "md:", "md:a b", "md:main", "lab/MAIN.duckdb", "building.db"])
def test_an_address_that_nothing_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_warehouse(text)


def test_every_target_is_one_of_the_dbt_profile() -> None:
    profile = (REPOSITORY / "dbt_project" / "profiles.yml").read_text()
    for text in ("data/battery.duckdb", "md:battery_db"):
        assert re.search(rf"^    {parse_warehouse(text).dbt_target}:$", profile, re.MULTILINE)


def test_nobody_else_asks_which_kind_an_address_is() -> None:
    asked = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for room in ROOMS
        for path in sorted((REPOSITORY / room).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"""["']md:["']""", line)
    ]
    assert [place.partition(":")[0] for place in asked] == ["kernel/base/warehouse_address.py"], asked
