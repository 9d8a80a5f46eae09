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


def test_postgresql_admits_readers_and_leaves_the_models_to_a_file_of_each_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = Settings(warehouse="postgresql://lab@db.example:5433/battery").warehouse_address
    assert (address.file, address.database, address.dbt_target) == (None, "battery", "postgres")
    assert address.admits_readers
    assert not address.holds_models
    assert address.dbt_path == str(tmp_path / "data" / "models" / "battery" / "battery.duckdb")


@pytest.mark.parametrize("text", ["mysql://lab@db/battery", "s3://bucket/battery.duckdb", "sqlite:///battery.db"])
def test_a_kind_that_nobody_knows_is_refused_and_not_taken_for_a_file(text: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^is of an unknown kind, {text.partition('://')[0]}://; it must be the path"
    ):
        parse_warehouse(text)


@pytest.mark.parametrize(
    "text", ["postgresql://lab:hush@db.example/battery", "postgresql://db.example/battery?user=lab&password=hush"]
)
def test_a_password_in_the_address_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="WAREHOUSE_PASSWORD") as refused:
        parse_warehouse(text)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("text", ["postgresql://lab@db.example", "postgresql://db.example/a/b"])
def test_an_address_of_postgresql_names_one_database(text: str) -> None:
    with pytest.raises(ValueError, match="must name a database"):
        parse_warehouse(text)


def test_an_address_of_postgresql_with_no_port_is_refused() -> None:
    with pytest.raises(ValueError, match="is no URL"):
        parse_warehouse("postgresql://lab@db.example:port/battery")


@pytest.mark.parametrize("text", ["", ":memory:", "md:", "md:a b", "md:main", "lab/MAIN.duckdb", "building.db"])
def test_an_address_that_nothing_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_warehouse(text)


def test_every_target_is_one_of_the_dbt_profile() -> None:
    profile = (REPOSITORY / "dbt_project" / "profiles.yml").read_text()
    for text in ("data/battery.duckdb", "md:battery_db", "postgresql://db/battery"):
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
