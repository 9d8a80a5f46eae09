"""A watched inbox: what is published of it as it comes, and all that must not end the watch."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from support.bombs import BOMBS
from support.delivered import decode
from support.pipeline import Pipeline

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from kernel.edges.consumer import read_log
from kernel.edges.kafka import NoBrokerError, Topic, open_topic
from producer import inbox as watch_module
from producer.inbox import watch_folder
from producer.inbox_state import InboxFile, InboxFileState, InboxState, read_inbox
from producer.publish import Options, publish
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kernel.base.settings import Settings
    from producer.options import Summary


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of one cell."""
    return simulate_cell(tmp_path_factory.mktemp("workbooks"), "WATCH", cycles=2, seed=1, cycles_per_file=1)


@pytest.fixture
def watching(settings: Settings, inbox: Path) -> Iterator[Iterator[Summary]]:
    """What a watch of the inbox tells of, batch by batch."""
    stop = threading.Event()
    yield watch_folder(settings, inbox, Options(), stop)
    stop.set()


def sources(settings: Settings) -> list[str | None]:
    topic = open_topic(settings)
    return [decode(message).source_file for poll in read_log(settings, topic, 0) for message in poll]


def drop(workbook: Path, place: Path) -> Path:
    """Move a workbook in whole, from the same file system."""
    copy = place.parent.parent / "arriving"
    shutil.copy(workbook, copy)
    return copy.rename(place)


def test_what_lies_there_is_published_and_then_what_arrives(
    settings: Settings, inbox: Path, watching: Iterator[Summary], workbooks: list[Path]
) -> None:
    shutil.copy(workbooks[0], inbox)
    assert next(watching).workbooks == 1
    drop(workbooks[1], inbox / workbooks[1].name)
    assert next(watching).workbooks == 1
    assert sources(settings) == [workbooks[0].name, workbooks[1].name]


def test_an_empty_inbox_is_watched_without_a_complaint(
    inbox: Path, watching: Iterator[Summary], workbooks: list[Path]
) -> None:
    arrival = threading.Timer(0.5, drop, [workbooks[0], inbox / "arriving.xlsx"])
    arrival.start()
    first = next(watching)
    assert (first.workbooks, first.failed) == (1, [])


def test_it_ends_when_it_is_asked_to(settings: Settings, inbox: Path, workbooks: list[Path]) -> None:
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    shutil.copy(workbooks[0], inbox)
    next(watching)
    stop.set()
    assert next(watching, None) is None


def test_a_file_that_arrives_while_the_folder_is_first_published_is_not_missed(
    inbox: Path, watching: Iterator[Summary], workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(workbooks[0], inbox)

    def slow(*arguments: Any) -> Any:
        summary = publish(*arguments)
        if not (inbox / workbooks[1].name).exists():
            shutil.copy(workbooks[1], inbox)
        return summary

    monkeypatch.setattr(watch_module, "publish", slow)
    assert [next(watching).workbooks, next(watching).workbooks] == [1, 1]


def broken(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 no more")


def bomb(path: Path) -> None:
    BOMBS["far.xlsx"](path)


def named_in_another_encoding(path: Path) -> None:
    broken(path.with_name(os.fsdecode(b"caf\xe9.xlsx")))


def named_over_two_lines(path: Path) -> None:
    broken(path.with_name("a\nb.xlsx"))


@pytest.mark.parametrize("make", [broken, bomb, named_in_another_encoding, named_over_two_lines])
def test_a_bad_file_is_one_line_once_and_the_next_good_one_is_published(
    settings: Settings,
    inbox: Path,
    watching: Iterator[Summary],
    workbooks: list[Path],
    make: Callable[[Path], None],
) -> None:
    shutil.copy(workbooks[0], inbox)
    assert next(watching).workbooks == 1
    make(inbox / "bad.xlsx")
    (line,) = next(watching).failed
    assert len(line.splitlines()) == 1
    line.encode()  # it can be written wherever text can
    for path in inbox.iterdir():
        os.utime(path, (1, 1))
    drop(workbooks[1], inbox / workbooks[1].name)
    rest = [next(watching)]
    while not rest[-1].workbooks:
        rest.append(next(watching))
    assert [line for summary in rest for line in summary.failed] == []
    assert len([line for summary in rest for line in summary.left_alone]) <= 1
    assert sources(settings) == [workbooks[0].name, workbooks[1].name]


def test_what_an_earlier_run_refused_is_said_to_be_left_alone_once(
    settings: Settings, inbox: Path, workbooks: list[Path]
) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        (inbox / name).write_bytes(name.encode() * 200)
    shutil.copy(workbooks[0], inbox)
    for earlier in (True, False):
        stop = threading.Event()
        watching = watch_folder(settings, inbox, Options(), stop)
        first = next(watching)
        assert (len(first.failed), len(first.left_alone)) == ((2, 0) if earlier else (0, 2))
        for path in inbox.iterdir():
            path.touch()
        second = next(watching)
        assert (second.failed, second.skipped) == ([], 1)
        assert len(second.left_alone) == (2 if earlier else 0)
        stop.set()
    again = watch_folder(settings, inbox, Options(again=True), threading.Event())
    assert len(next(again).failed) == 2


@pytest.mark.parametrize("fault", [NoBrokerError("no broker answers"), BatteryError("cannot write bucket")])
def test_a_broker_or_store_that_goes_away_is_waited_for_and_that_is_said_once(
    inbox: Path,
    watching: Iterator[Summary],
    workbooks: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    fault: BatteryError,
) -> None:
    monkeypatch.setattr(watch_module, "FIRST_PAUSE_SECONDS", 0.01)
    failures = iter([fault] * 3)

    def failing(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return publish(*arguments)

    monkeypatch.setattr(watch_module, "publish", failing)
    shutil.copy(workbooks[0], inbox)
    with structlog.testing.capture_logs() as said:
        assert next(watching).workbooks == 1
        shutil.copy(workbooks[1], inbox)
        assert next(watching).workbooks == 1
    assert [(line["event"], line.get("reason")) for line in said if "again" in line["event"]] == [
        ("cannot publish now, trying again until it works", str(fault)),
        ("publishing works again", None),
    ]


def test_pauses_grow_up_to_a_limit(settings: Settings, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("producer.inbox.time.monotonic", lambda: now)
    tries = []

    def failing(*_: object) -> None:
        tries.append(now)
        raise BatteryError("no room")

    monkeypatch.setattr(watch_module, "publish", failing)
    (inbox / "a.xlsx").touch()
    monkeypatch.setattr(watch_module, "SETTLED_SECONDS", 0.0)
    state = InboxState(settings, inbox)
    look = watch_module._Inbox(settings, inbox, Options(), "log", state, _topic_due=1e9).look  # noqa: SLF001
    while now < 200:
        list(look(may_have_changed=False))
        now += 0.5
    assert tries == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_topic_that_is_gone_is_left_to_whoever_deleted_it_for_a_while(
    settings: Settings, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("producer.inbox.time.monotonic", lambda: now)
    made = []

    def gone(_: Settings, *, create: bool) -> Topic:
        if not create:
            raise BatteryError("the broker has no such topic")
        made.append(now)
        return Topic("t", "another log", (0,))

    monkeypatch.setattr(watch_module, "open_topic", gone)
    state = InboxState(settings, inbox)
    look = watch_module._Inbox(settings, inbox, Options(), "log", state, _topic_due=0.0).look  # noqa: SLF001
    while not made:
        list(look(may_have_changed=False))
        now += 0.5
    assert made == [15]


def test_a_fault_that_nobody_has_foreseen_costs_the_one_file_that_it_comes_from(
    inbox: Path, watching: Iterator[Summary], workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in workbooks:
        shutil.copy(path, inbox)

    def faulty(settings: Settings, files: list[Any], options: Options) -> Any:
        if any(file.path.name == workbooks[0].name for file in files):
            raise KeyError("Voltage(V)")
        return publish(settings, files, options)

    monkeypatch.setattr(watch_module, "publish", faulty)
    found = [next(watching), next(watching)]
    assert sum(summary.workbooks for summary in found) == 1
    assert [line for summary in found for line in summary.failed] == [
        f"{workbooks[0].name}: unexpected KeyError: 'Voltage(V)'; report it"
    ]


def test_a_file_that_is_gone_before_its_turn_is_one_line(
    inbox: Path, watching: Iterator[Summary], workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(settings: Settings, files: list[Any], options: Options) -> Any:
        (inbox / "gone.xlsx").unlink(missing_ok=True)
        return publish(settings, files, options)

    monkeypatch.setattr(watch_module, "publish", late)
    shutil.copy(workbooks[0], inbox)
    shutil.copy(workbooks[0], inbox / "gone.xlsx")
    first = next(watching)
    assert (first.workbooks, first.failed) == (1, ["gone.xlsx: cannot be read: No such file or directory"])


def test_a_folder_that_is_removed_and_made_again_is_watched_on(
    inbox: Path, watching: Iterator[Summary], workbooks: list[Path]
) -> None:
    shutil.copy(workbooks[0], inbox)
    assert next(watching).workbooks == 1
    shutil.rmtree(inbox)

    def come_back() -> None:
        inbox.mkdir()
        shutil.copy(workbooks[1], inbox)

    threading.Timer(0.5, come_back).start()
    found = next(watching)
    while not found.workbooks:
        found = next(watching)
    assert found.workbooks == 1


def test_a_broker_that_comes_back_with_another_log_gets_what_that_lacks(
    inbox: Path, workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.edges.kafka.CONNECT_SECONDS", 0.5)
    for name, seconds in {"TOPIC_SECONDS": 0.5, "FIRST_PAUSE_SECONDS": 0.1, "CREATE_PAUSE_SECONDS": 0.0}.items():
        monkeypatch.setattr(watch_module, name, seconds)
    settings = Pipeline(tmp_path / "pipeline", free_port()).settings
    port = int(settings.kafka_bootstrap_servers.rpartition(":")[2])
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    shutil.copy(workbooks[0], inbox)
    with embedded_broker(port):
        assert next(watching).workbooks == 1
    drop(workbooks[1], inbox / workbooks[1].name)
    with ExitStack() as brokers:
        threading.Timer(1, lambda: brokers.enter_context(embedded_broker(port))).start()
        published = 0
        while published < 2:
            published += next(watching).workbooks
        stop.set()
        assert sorted(map(str, sources(settings))) == sorted(path.name for path in workbooks[:2])


def test_a_broker_that_is_not_there_at_the_start_is_one_line(
    tmp_path: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.edges.kafka.CONNECT_SECONDS", 0.5)
    with pytest.raises(BatteryError, match="start one with `battery broker`"):
        next(watch_folder(Pipeline(tmp_path, free_port()).settings, inbox, Options(), threading.Event()))


def test_a_file_that_is_copied_slowly_is_read_once_and_whole(
    settings: Settings, inbox: Path, watching: Iterator[Summary], workbooks: list[Path]
) -> None:
    content = workbooks[0].read_bytes()
    with (inbox / workbooks[0].name).open("wb") as file:

        def copy(part: int = 0, parts: int = 8) -> None:
            file.write(content[part * len(content) // parts : (part + 1) * len(content) // parts])
            file.flush()
            if part + 1 < parts:
                threading.Timer(0.15, copy, [part + 1]).start()

        copy()
        first = next(watching)
    assert (first.workbooks, first.failed) == (1, [])
    assert set(sources(settings)) == {workbooks[0].name}


def files_of(settings: Settings) -> dict[str, InboxFile]:
    look = read_inbox(settings)
    assert look is not None
    return {file.name: file for file in look.files}


def test_the_state_of_the_inbox_says_what_became_of_each_file(
    settings: Settings, inbox: Path, workbooks: list[Path]
) -> None:
    shutil.copy(workbooks[0], inbox)
    broken(inbox / "bad.xlsx")
    (inbox / "notes.letter").write_bytes(b"\x00 Dear all")
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    while not next(watching).workbooks:
        pass
    stop.set()
    assert next(watching, None) is None
    files = files_of(settings)
    published = files[workbooks[0].name]
    assert published.state is InboxFileState.PUBLISHED
    assert published.rows
    assert (published.sent, published.cells) == (published.rows, ("WATCH",))
    assert (published.topic_id, published.offsets) == (open_topic(settings).topic_id, {"0": 0})
    assert files["bad.xlsx"].state is InboxFileState.REFUSED
    assert files["bad.xlsx"].reason
    assert files["notes.letter"].state is InboxFileState.IGNORED
    assert files["notes.letter"].reason.startswith("it is of an unknown format")
    look = read_inbox(settings)
    assert look is not None
    assert (look.folder, look.is_watched, look.trouble) == (str(inbox.resolve()), False, "")


def test_the_state_of_the_inbox_says_that_a_file_was_known_and_why_nothing_can_be_published(
    settings: Settings, inbox: Path, workbooks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(workbooks[0], inbox)
    publish(settings, [str(workbooks[0])], Options())
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    assert next(watching).skipped == 1

    def failing(*_: object) -> None:
        stop.set()
        raise BatteryError("the disk is full")

    monkeypatch.setattr(watch_module, "publish", failing)
    shutil.copy(workbooks[1], inbox)
    assert next(watching, None) is None
    files = files_of(settings)
    assert files[workbooks[0].name].state is InboxFileState.KNOWN
    assert files[workbooks[0].name].reason == "its readings were published before"
    assert files[workbooks[1].name].state is InboxFileState.WAITING
    look = read_inbox(settings)
    assert look is not None
    assert look.trouble == "the disk is full"
