"""Supervisors that tell each other over HTTP what they do."""

from __future__ import annotations

import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import msgspec
import pytest

from dataflows.hosts.places import Hosts, Place
from dataflows.hosts.plan import Run, Told
from dataflows.hosts.rendezvous import Rendezvous
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 60.0
SILENCE_SECONDS = 1.0


@pytest.fixture
def places() -> tuple[Place, ...]:
    first = free_port(2)
    return Place("127.0.0.1", first), Place("127.0.0.1", first + 1)


@contextmanager
def supervisor(places: tuple[Place, ...], index: int, told: Told | None = None) -> Iterator[Rendezvous]:
    rendezvous = Rendezvous(Hosts(places, index), told or Told(index, {}, f"turn {index}"), SILENCE_SECONDS)
    try:
        yield rendezvous
    finally:
        rendezvous.close()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.01)


def test_supervisors_hear_what_the_others_tell_and_that_they_are_heard(places: tuple[Place, ...]) -> None:
    with supervisor(places, 0) as one, supervisor(places, 1) as other:
        until(lambda: one.heard() and one.heard()[1].told.hears == {0})
        assert one.heard()[1].told.turn == "turn 1"
        run = Run("run", {0: "turn 0", 1: "turn 1"}, 8)
        other.tell(Told(1, {}, "turn 1", run=run, waits=False))
        until(lambda: one.heard()[1].told.run == run)


def test_a_supervisor_that_falls_silent_is_heard_no_more_and_again_when_it_is_back(places: tuple[Place, ...]) -> None:
    with supervisor(places, 0) as one:
        with supervisor(places, 1):
            until(one.heard)
        until(lambda: not one.heard())
        assert "refused" in one.trouble(1)
        with supervisor(places, 1):
            until(one.heard)


def test_who_ends_may_wait_until_the_others_have_heard_the_last_that_it_tells(places: tuple[Place, ...]) -> None:
    with supervisor(places, 0) as one, supervisor(places, 1) as other:
        until(one.heard)
        until(other.heard)
        one.tell(Told(0, {}, "turn 0", ended=True))
        one.await_asked({1}, PATIENCE_SECONDS)
        until(lambda: other.heard()[0].told.ended)
        began = time.monotonic()
        one.await_asked({7}, 0.05)  # a host that is lost is not waited for
        assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_host_that_answers_as_another_one_is_not_heard(places: tuple[Place, ...]) -> None:
    with supervisor(places, 0) as one, supervisor(places, 1, Told(0, {}, "turn")):
        until(lambda: "it says that it is host 0; see its --index and --hosts" in one.trouble(1))
        assert one.heard() == {}


def test_what_is_no_supervisor_is_not_heard(places: tuple[Place, ...]) -> None:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((places[1].host, places[1].port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with supervisor(places, 0) as one:
            until(lambda: "no supervisor" in one.trouble(1))
            assert one.heard() == {}
    finally:
        server.shutdown()
        server.server_close()


def test_a_person_may_ask_too(places: tuple[Place, ...]) -> None:
    with supervisor(places, 0), urllib.request.urlopen(f"http://{places[0]}/") as answer:
        assert msgspec.json.decode(answer.read(), type=Told).turn == "turn 0"


def test_an_address_that_is_not_of_this_machine_or_taken_is_refused_with_one_line(places: tuple[Place, ...]) -> None:
    elsewhere = (Place("192.0.2.1", 2101), places[1])
    with pytest.raises(BatteryError, match=r"host 0 \(192\.0\.2\.1:2101\): the supervisor cannot listen there"):
        Rendezvous(Hosts(elsewhere, 0), Told(0, {}, "turn"), SILENCE_SECONDS)
    nameless = (Place("lab..1", 2101), places[1])
    with pytest.raises(BatteryError, match=r"host 0 \(lab\.\.1:2101\): the supervisor cannot listen there"):
        Rendezvous(Hosts(nameless, 0), Told(0, {}, "turn"), SILENCE_SECONDS)
    of_this_machine = (Place("127.0.0.1", free_port()), Place("lab-2", 2101))
    with pytest.raises(BatteryError, match=r"takes 127\.0\.0\.1 for 127\.0\.0\.1, which no other machine reaches"):
        Rendezvous(Hosts(of_this_machine, 0), Told(0, {}, "turn"), SILENCE_SECONDS)
    with supervisor(places, 0), pytest.raises(BatteryError, match="cannot listen there: Address already in use"):
        Rendezvous(Hosts(places, 0), Told(0, {}, "turn"), SILENCE_SECONDS)
