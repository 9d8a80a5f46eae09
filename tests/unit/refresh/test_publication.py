"""One publication as a look sees it, where the warehouse itself is read and holds the newest one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pytest

from kernel.base.errors import BatteryError
from refresh.marts import MartsVersion
from refresh.publication import Publication, RepublishedError

if TYPE_CHECKING:
    from kernel.edges.warehouse import Warehouse

TABLES = ("battery_cells", "battery_cycles")


class InPlace:
    """Marts whose rows are those of the newest publication, whichever is asked for."""

    keeps_earlier = False

    def __init__(self) -> None:
        self.number = 1
        self.is_published_while_reading = False

    def newest(self) -> MartsVersion:
        return MartsVersion(str(self.number), None, dict.fromkeys(TABLES, "a table"))

    def table(self, publication: MartsVersion, name: str) -> pa.Table:  # noqa: ARG002
        if self.is_published_while_reading:
            self.is_published_while_reading = False
            self.number += 1
        return pa.table({"publication": [self.number]})


@pytest.fixture
def marts() -> InPlace:
    return InPlace()


@pytest.fixture
def publication(marts: InPlace) -> Publication:
    return Publication(marts, None, cast("Warehouse", object()))


def test_tables_of_two_publications_are_never_mixed(marts: InPlace, publication: Publication) -> None:
    publication.table("battery_cells")
    marts.number = 2
    assert publication.table("battery_cells")["publication"].to_pylist() == [1]
    with pytest.raises(BatteryError, match="published again, and battery_cycles was not read before: refresh"):
        publication.table("battery_cycles")
    assert publication.refresh()
    assert [publication.table(name)["publication"].to_pylist() for name in TABLES] == [[2], [2]]


def test_a_publication_while_the_first_table_is_read_is_the_one_that_is_seen(
    marts: InPlace, publication: Publication
) -> None:
    assert publication.version.name == "1"
    marts.is_published_while_reading = True
    assert [publication.table(name)["publication"].to_pylist() for name in TABLES] == [[2], [2]]
    assert publication.version.name == "2"


def test_a_publication_that_is_shared_by_visitors_never_becomes_another_one(
    marts: InPlace, publication: Publication
) -> None:
    shared = publication.at(publication.newest())
    marts.number = 2
    with pytest.raises(RepublishedError, match="battery_cells was not read before"):
        shared.table("battery_cells")
    assert (shared.version.name, publication.newest().name) == ("1", "2")
    assert publication.at(publication.newest()).table("battery_cells")["publication"].to_pylist() == [2]


def test_a_place_that_keeps_earlier_publications_is_asked_for_the_newest_one_once(
    marts: InPlace, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = publication.at(publication.newest())
    marts.keeps_earlier = True
    monkeypatch.setattr(marts, "newest", lambda: pytest.fail("each table would cost another request"))
    assert [shared.table(name)["publication"].to_pylist() for name in TABLES] == [[1], [1]]
