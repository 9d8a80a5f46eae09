"""The recovery store: what is in it, who may read it, and the way out where it is damaged."""

from __future__ import annotations

import pickletools
import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from bytewax.recovery import init_db_dir
from support.harness import Log, finish, require_sound, wait_for

from dataflows.recovery import make_recovery_store
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.pipeline import Pipeline

CODE = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
"""What in a pickle names a class or function, or calls one."""


def garbage(part: Path) -> None:
    part.write_bytes(b"no database " * 400)


def truncated(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:5000])


def empty(part: Path) -> None:
    part.write_bytes(b"")


def overwritten(part: Path) -> None:
    data = part.read_bytes()
    part.write_bytes(data[:4200] + b"\xff" * 7800 + data[12000:])


def of_a_larger_store(part: Path) -> None:
    """The other part of that one is missing."""
    part.unlink()
    larger = part.parent.with_name("larger")
    larger.mkdir()
    init_db_dir(larger, 2)
    (larger / "part-1.sqlite3").rename(part.with_name("part-1.sqlite3"))


def unreadable(part: Path) -> None:
    """A snapshot of bytes that are no pickle, in a database that is whole."""
    with closing(sqlite3.connect(part)) as connection, connection:
        columns = [name for _, name, *_ in connection.execute("pragma table_info(snaps)")]
        row = {"step_id": "battery.topic", "state_key": "0", "ser_change": b"\x80\x04\xff"}
        connection.execute(
            f"insert into snaps values ({', '.join('?' * len(columns))})",  # noqa: S608
            [row.get(name, 1) for name in columns],
        )


DAMAGE = [
    (garbage, "part-0.sqlite3: file is not a database"),
    (truncated, "part-0.sqlite3: "),
    (empty, "part-0.sqlite3: not a whole part"),
    (overwritten, "part-0.sqlite3: "),
    (of_a_larger_store, "part 0 of 2 is missing"),
    (unreadable, "part-0.sqlite3: not a whole part"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_damaged_store_is_told_with_its_setting_and_the_way_out(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    settings = Settings(recovery_dir=tmp_path / "recovery")
    make_recovery_store(settings)
    make_recovery_store(settings)  # one that is whole is left as it is
    damage(tmp_path / "recovery" / "part-0.sqlite3")
    with pytest.raises(BatteryError, match=r"RECOVERY_DIR=.* is damaged .*; move the folder away") as raised:
        make_recovery_store(settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_way_out_of_a_damaged_store_works(pipeline: Pipeline, log: Log) -> None:
    pipeline.battery("stream", "--until-end")
    recovery = pipeline.folder / "recovery"
    garbage(recovery / "part-0.sqlite3")
    said = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()
    assert said[-1].startswith(f"battery: RECOVERY_DIR={recovery} is damaged (part-0.sqlite3: ")
    assert len(said) == 1, "Bytewax was started on it"
    recovery.rename(recovery.with_name("damaged"))
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    assert "everything adds up" in pipeline.battery("verify")


def test_a_store_on_a_full_disk_is_told_with_the_way_out(pipeline: Pipeline, log: Log) -> None:
    make_recovery_store(pipeline.settings)
    worker = subprocess.run(
        [sys.executable, "-m", "battery", "stream", "--until-end"],
        env=pipeline.environment,
        cwd=pipeline.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),  # for every file that it writes
    )
    assert worker.returncode == 2, worker.stderr
    (line,) = worker.stderr.strip().splitlines()
    assert line.startswith(f"battery: RECOVERY_DIR={pipeline.folder / 'recovery'} cannot be used: part-0.sqlite3: ")
    assert "make room" in line
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_a_store_that_cannot_be_written_while_the_worker_runs_is_told(pipeline: Pipeline, log: Log) -> None:
    worker = pipeline.start("stream")
    wait_for(worker, "committed")
    with closing(sqlite3.connect(pipeline.folder / "recovery" / "part-0.sqlite3", timeout=30)) as held:
        held.execute("begin immediate")  # as a backup that does not end
        last = finish(worker, 2).strip().splitlines()[-1]
    assert last.startswith(f"battery: RECOVERY_DIR={pipeline.folder / 'recovery'} cannot be used: database is locked; ")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_the_store_is_its_owners_alone_and_holds_plain_values(pipeline: Pipeline) -> None:
    recovery = pipeline.folder / "recovery"
    recovery.mkdir(parents=True)
    recovery.chmod(0o755)  # as an earlier version left it
    pipeline.battery("stream", "--until-end")
    assert stat.S_IMODE(recovery.stat().st_mode) == 0o700
    with closing(sqlite3.connect(recovery / "part-0.sqlite3")) as part:
        stored = part.execute("select step_id, ser_change from snaps where ser_change is not null").fetchall()
    assert {step for step, _ in stored} == {"battery.topic", "battery.clean", "battery.land"}
    for step, pickled in stored:
        assert not {code.name for code, _, _ in pickletools.genops(pickled)} & CODE, step
        assert b"dataflows" not in pickled
        assert b"battery." not in pickled


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_is_no_folder_is_told_as_that(tmp_path: Path, kind: str) -> None:
    store = tmp_path / "recovery"
    if kind == "file":
        store.write_bytes(b"")
    else:
        store.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BatteryError, match=r"RECOVERY_DIR=.*recovery is no folder; move it away"):
        make_recovery_store(Settings(recovery_dir=store))
