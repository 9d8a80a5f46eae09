"""What a process of a cluster is told by Bytewax's arguments and variables."""

from __future__ import annotations

import pytest

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from sink.peers import Peers, peers_of, peers_of_this_process

SETTINGS = Settings(run_id="a run", cluster_timeout_seconds=7)
TWO = Peers(1, ("a:1", "b:2"), "a run", 7)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["dataflows.battery", "-i", "1", "-a", "a:1;b:2"], {}),
        (["dataflows.battery", "-r", "recovery", "-s", "10", "-b", "0", "-i1", "--addresses=a:1;b:2"], {}),
        (["dataflows.battery"], {"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": "a:1;b:2"}),
        (["dataflows.battery", "-i", "1"], {"BYTEWAX_PROCESS_ID": "0", "BYTEWAX_ADDRESSES": "a:1;b:2"}),
    ],
)
def test_arguments_and_variables_of_bytewax_say_which_process_this_is(
    arguments: list[str], environment: dict[str, str]
) -> None:
    assert peers_of(SETTINGS, arguments, environment) == TWO


@pytest.mark.parametrize("arguments", [["dataflows.battery"], ["-w", "2"], ["-i", "0", "-a", "a:1"]])
def test_a_single_process_has_no_peers(arguments: list[str]) -> None:
    assert peers_of(SETTINGS, arguments, {}) is None
    assert peers_of(Settings(), arguments, {}) is None


def test_arguments_of_other_programs_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pytest", "-i", "1", "-a", "a:1;b:2"])
    assert peers_of_this_process(SETTINGS) is None


def test_a_process_of_a_cluster_needs_a_run_id() -> None:
    with pytest.raises(BatteryError, match="RUN_ID is not set, and this is process 1 of a cluster"):
        peers_of(Settings(), ["-i", "1", "-a", "a:1;b:2"], {})


def test_process_0_begins_the_run_and_those_waited_for_are_the_others() -> None:
    three = Peers(1, ("a:1", "b:2", "c:3"), "a run", 7)
    assert (three.begin_here, Peers(0, three.addresses, "a run", 7).begin_here) == (False, True)
    assert (str(three), str(TWO)) == ("processes 0 at a:1, 2 at c:3", "process 0 at a:1")
