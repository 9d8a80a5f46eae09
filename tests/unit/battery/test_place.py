"""The places that `battery.open` takes, and what it says of those that are none."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import battery
from battery.place import find_publication
from kernel.base.settings import Settings
from refresh.marts import WarehouseMarts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OBJECT_STORE", "WAREHOUSE", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "place",
    [
        None, "demo", "data/demo", "data/demo/", "data/demo/objects", "data/demo/objects/marts",
        "data/demo/objects/marts/latest", "data/demo/battery.duckdb", "file://data/demo",
        Settings(object_store="file://data/demo/objects"),
    ],
)  # fmt: skip
def test_a_folder_is_found_by_all_its_names(
    here: Path, made: Path, monkeypatch: pytest.MonkeyPatch, place: str | Settings | None
) -> None:
    shutil.copytree(made, here / "data" / "demo")
    if place is None:
        monkeypatch.setenv("OBJECT_STORE", "file://data/demo/objects")
    assert len(battery.open(place).cells()) == 2
    assert len(battery.open(place).readings("SIM_01")) == 4


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("nowhere", "nowhere is no folder; name the folder of a pipeline"),
        (".", "holds no published marts; name the folder of a pipeline, which holds objects/marts/manifest.json"),
        ("a" * 5000, "a{100} cannot be looked at: File name too long; name the folder"),
        ("~nobody-of-this-name/lab", "cannot be looked at: .*; name the folder"),
        ("demo", "there is no demo in data/demo; `battery demo` makes one"),
        (None, r"OBJECT_STORE=file://data/objects does not exist in .*; name the folder"),
        ("s3://lab", "OBJECT_STORE=s3://lab needs MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY"),
        ("md:lab", "WAREHOUSE=md:lab needs MOTHERDUCK_TOKEN"),
    ],
)
def test_a_place_without_a_pipeline_is_refused_with_what_to_do(place: str | None, complaint: str) -> None:
    with pytest.raises(battery.BatteryError, match=complaint):
        battery.open(place)


def test_looking_makes_no_folder(here: Path) -> None:
    for place in (None, "data", "demo"):
        with pytest.raises(battery.BatteryError):
            battery.open(place)
    assert list(here.iterdir()) == []


def test_where_nothing_has_been_published_the_first_question_says_what_publishes(here: Path) -> None:
    (here / "data" / "objects").mkdir(parents=True)
    for place in (None, "data"):
        with pytest.raises(battery.BatteryError, match="`battery transform` builds and publishes them"):
            battery.open(place).cells()


def test_a_warehouse_that_admits_readers_is_read_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERDUCK_TOKEN", "secret")
    publication, place = find_publication("md:lab")
    assert isinstance(publication._marts, WarehouseMarts)  # noqa: SLF001  # no MotherDuck answers here
    assert place == "md:lab"
