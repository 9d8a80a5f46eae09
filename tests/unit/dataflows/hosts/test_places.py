"""Reading which hosts a cluster has, and what must be the same on all of them."""

from __future__ import annotations

import pytest

from dataflows.hosts.common import common_settings
from dataflows.hosts.places import Hosts, Place, find_hosts
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings

TWO = "lab-1:2101,lab-2:2101"


def test_options_and_the_variables_of_bytewax_say_the_same() -> None:
    hosts = find_hosts(TWO, 1, 2, {})
    assert hosts == Hosts((Place("lab-1", 2101), Place("lab-2", 2101)), 1, 2)
    variables = {"BYTEWAX_ADDRESSES": "lab-1:2101;lab-2:2101", "BYTEWAX_PROCESS_ID": "1"}
    assert find_hosts(None, None, 2, variables) == hosts
    assert find_hosts(TWO, 0, 2, variables) == Hosts(hosts.places, 0, 2)  # an option counts more
    assert find_hosts(None, None, 1, {}) is None


def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    place = Place.from_text("[fd00::7]:2101")
    assert (place.host, str(place), place.processes(1)) == ("fd00::7", "[fd00::7]:2101", ("[fd00::7]:2102",))


@pytest.mark.parametrize(
    ("hosts", "index", "said"),
    [
        (TWO, None, "needs --hosts and --index"),
        (None, 0, "needs --hosts and --index"),
        ("lab-1", 0, "'lab-1' is not HOST:PORT"),
        ("lab-1:0", 0, "is not HOST:PORT"),
        ("fd00::7:2101", 0, "is not HOST:PORT"),
        (f"{TWO},", 0, "'' is not HOST:PORT"),
        (TWO, 2, "--index 2: --hosts names 2, so it is a number from 0 to 1"),
        ("lab-1:2101,lab-1:2101", 0, "a host is named twice"),
        ("lab-1:65535,lab-2:2101", 0, "choose a lower port"),
        ("lab-1:2101,lab-1:2102", 0, "must be more than 1 apart"),
    ],
)
def test_hosts_that_cannot_be_are_refused(hosts: str | None, index: int | None, said: str) -> None:
    with pytest.raises(BatteryError, match=r"--(hosts|index)") as refused:
        find_hosts(hosts, index, 1, {})
    assert said in str(refused.value)


def test_what_hosts_tell_of_their_settings_shows_what_differs_and_no_value() -> None:
    def common(warehouse: str, lanes: int) -> dict[str, str]:
        hosts = Hosts((Place("lab-1", 2101),), 0)
        return common_settings(Settings(warehouse=warehouse, lanes=lanes), hosts, until_end=False)

    one, other = common("lab.duckdb", 1), common("lab.duckdb", 2)
    assert {name for name in one if one[name] != other[name]} == {"LANES"}
    assert common("another.duckdb", 1)["WAREHOUSE"] != one["WAREHOUSE"]
    assert "lab" not in "".join(one.values())
