"""A backup taken in the middle brings a pipeline back, and the log lands what came since exactly once."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.harness import Log, finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.pipeline import Pipeline

from battery.backup import MANIFEST, back_up, encode_manifest
from battery.restore import check_backup, restore
from dataflows.health import Pulse
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from sink.claim import claim_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, REST = range(6), range(6, 12)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    with embedded_broker(port):
        yield port


@pytest.fixture(autouse=True)
def _worker_is_known_to_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores in this process need not wait until the pulse of a worker that has ended is old."""
    monkeypatch.setattr(Pulse, "since", lambda _: None)


@pytest.fixture
def half(tmp_path: Path, port: int) -> Pipeline:
    """A pipeline that has landed a first half of its log."""
    pipeline = Pipeline(tmp_path / "pipeline", port, {"BATTERY_TOPIC": f"topic_{tmp_path.name}"})
    send(pipeline.settings, traffic(FIRST))
    pipeline.battery("stream", "--until-end")
    return pipeline


def go_on(pipeline: Pipeline, tmp_path: Path) -> Log:
    """Land the rest of the log, too; what an undisturbed worker makes of all of it."""
    count = send(pipeline.settings, traffic(REST))
    pipeline.battery("stream", "--until-end")
    return read_undisturbed(tmp_path / "undisturbed", pipeline.port, pipeline.topic, count)


def lose(pipeline: Pipeline, *names: str) -> None:
    for name in names:
        path = pipeline.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_all_that_was_lost_comes_back_and_the_rest_lands_exactly_once(half: Pipeline, tmp_path: Path) -> None:
    half.battery("backup", str(tmp_path / "backup"))
    log = go_on(half, tmp_path)
    lose(half, "battery.duckdb", "objects", "recovery")
    backup = restore(half.settings, tmp_path / "backup").backup
    assert half.query("select count(*) from battery_ts_cleaned") == [(backup.rows,)]
    said = half.battery("stream", "--until-end")
    assert "older copy" not in said
    require_sound(half, log.tables)
    assert "everything adds up" in half.battery("verify")
    assert json.loads(half.battery("sweep", "--json"))["doubt"] in (None, "")


def test_a_lost_warehouse_comes_back_beside_a_store_that_is_ahead_of_it(half: Pipeline, tmp_path: Path) -> None:
    back_up(half.settings, tmp_path / "backup")
    log = go_on(half, tmp_path)
    objects = set((half.folder / "objects").rglob("*.parquet"))
    lose(half, "battery.duckdb")
    log_of_the_lost_one = half.folder / "battery.duckdb.wal"
    log_of_the_lost_one.write_bytes(b"no log" * 100)
    with pytest.raises(BatteryError, match=r"part-0\.sqlite3 is there already; --force replaces"):
        restore(half.settings, tmp_path / "backup")
    assert restore(half.settings, tmp_path / "backup", force=True).objects == 0
    assert not log_of_the_lost_one.exists(), "it would be played onto the copy"
    half.battery("stream", "--until-end")
    require_sound(half, log.tables)
    assert objects <= set((half.folder / "objects").rglob("*.parquet")), "another copy may name them"


def test_without_the_recovery_store_the_log_is_read_again_and_lands_nothing_twice(
    half: Pipeline, tmp_path: Path
) -> None:
    backup = back_up(half.settings, tmp_path / "backup")
    assert any(file.path.startswith("recovery/") for file in backup.files)
    log = go_on(half, tmp_path)
    lose(half, "battery.duckdb", "objects", "recovery")
    restore(half.settings, tmp_path / "backup")
    lose(half, "recovery")
    half.battery("stream", "--until-end")
    require_sound(half, log.tables)


def test_a_backup_is_taken_while_the_worker_runs(half: Pipeline, tmp_path: Path) -> None:
    worker = half.start("stream")
    send(half.settings, traffic(REST))
    wait_for(worker, "committed")
    half.battery("backup", str(tmp_path / "backup"))
    worker.terminate()
    finish(worker, 0)
    log = read_undisturbed(tmp_path / "undisturbed", half.port, half.topic, 0)
    lose(half, "battery.duckdb", "objects", "recovery")
    restore(half.settings, tmp_path / "backup")
    half.battery("stream", "--until-end")
    require_sound(half, log.tables)


KILLED = """
import duckdb, os, sys
open_until_killed = duckdb.connect(sys.argv[1])
open_until_killed.execute("create table of_the_log as select 7 as seven")
os._exit(0)
"""


def test_what_stands_in_the_log_of_the_warehouse_is_in_the_backup(half: Pipeline, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(half.folder / "battery.duckdb")], check=True)
    assert (half.folder / "battery.duckdb.wal").exists()
    back_up(half.settings, tmp_path / "backup")
    with duckdb.connect(tmp_path / "backup" / "battery.duckdb", read_only=True) as copy:
        assert copy.execute("from of_the_log").fetchall() == [(7,)]


def test_what_would_be_lost_by_a_restore_is_refused(
    half: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = back_up(half.settings, tmp_path / "backup")
    assert backup.has_objects
    with pytest.raises(BatteryError, match=r"battery\.duckdb is there already; --force"):
        restore(half.settings, tmp_path / "backup")
    with pytest.raises(BatteryError, match="is not empty; name a new folder for each backup"):
        back_up(half.settings, tmp_path / "backup")
    other = Pipeline(tmp_path / "other", half.port, {"BATTERY_TOPIC": half.topic})
    other.battery("stream", "--until-end")
    with pytest.raises(BatteryError, match=r"belongs to pipeline .*, the backup to"):
        restore(other.settings, tmp_path / "backup", force=True)
    monkeypatch.setattr(Pulse, "since", lambda _: 0.5)
    with pytest.raises(BatteryError, match="a worker runs, or ended 0 s ago"):
        restore(half.settings, tmp_path / "backup", force=True)


def test_a_backup_that_is_not_whole_is_refused_before_anything_is_written(half: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup = back_up(half.settings, folder)
    assert check_backup(folder) == backup
    damaged = folder / backup.files[-1].path
    kept = damaged.read_bytes()
    damaged.write_bytes(kept[:-1] + b"?")
    with pytest.raises(BatteryError, match="of the backup is damaged"):
        restore(half.settings, folder, force=True)
    damaged.unlink()
    with pytest.raises(BatteryError, match="the backup lacks"):
        check_backup(folder)
    damaged.write_bytes(kept)
    whole = (folder / MANIFEST).read_bytes()
    manifest = json.loads(whole)
    for place in range(0, len(whole), max(1, len(whole) // 50)):  # a bit of the manifest itself
        (folder / MANIFEST).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        if json.loads(whole) != _loaded(folder / MANIFEST):
            with pytest.raises(BatteryError, match=r"is damaged|cannot be read|is of version"):
                check_backup(folder)
    outside = manifest | {"files": [{"path": "objects/../../outside", "bytes": 1, "sha256": "0"}]}
    (folder / MANIFEST).write_bytes(encode_manifest({name: outside[name] for name in outside if name != "checksum"}))
    with pytest.raises(BatteryError, match=r"names objects/\.\./\.\./outside, which is not in the backup"):
        check_backup(folder)
    named = f"objects/{backup.named[0].key}"
    thinned = manifest | {"files": [file for file in manifest["files"] if file["path"] != named]}
    (folder / MANIFEST).write_bytes(encode_manifest({name: thinned[name] for name in thinned if name != "checksum"}))
    with pytest.raises(BatteryError, match=f"the backup lacks .*{named}"):
        check_backup(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(BatteryError, match="is of version 99, this release reads 1"):
        check_backup(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(BatteryError, match="cannot be read"):
        check_backup(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(BatteryError, match="is no backup, or one that broke off"):
        check_backup(folder)
    require_sound(half, half.checksums())


def _loaded(manifest: Path) -> object:
    """What a manifest holds; None where it is no JSON."""
    try:
        return json.loads(manifest.read_bytes())
    except ValueError:
        return None


def test_each_file_of_a_backup_in_which_a_bit_has_turned_is_noticed(half: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    for file in back_up(half.settings, folder).files:
        path = folder / file.path
        kept = path.read_bytes()
        middle = len(kept) // 2
        path.write_bytes(kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :])
        with pytest.raises(BatteryError, match=f"{path.name} of the backup is damaged"):
            check_backup(folder)
        path.write_bytes(kept)
    check_backup(folder)


def test_a_folder_within_the_pipeline_is_refused(half: Pipeline) -> None:
    before = sorted(half.folder.rglob("*"))
    for place in ("objects", "objects/backups/1", "recovery/backup"):
        with pytest.raises(BatteryError, match=r"is within (OBJECT_STORE|RECOVERY_DIR)=.*; name a folder elsewhere"):
            back_up(half.settings, half.folder / place)
    assert sorted(half.folder.rglob("*")) == before


def test_a_backup_that_does_not_fit_leaves_nothing_and_says_why(
    half: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"
    monkeypatch.setattr("battery.backup._COPY", "import sys; sys.exit('No space left on device')")
    with pytest.raises(BatteryError, match=r"^cannot copy the WAREHOUSE to .*backup: No space left on device$"):
        back_up(half.settings, folder)
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(Pulse, "since", lambda _: None)
    back_up(half.settings, folder)
    check_backup(folder)


def test_of_two_backups_into_one_folder_the_later_one_leaves_the_earlier_alone(
    half: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"

    def other(*arguments: Any) -> Any:
        monkeypatch.setattr("battery.backup.claim_store", claim_store)
        with pytest.raises(BatteryError, match="is not empty; name a new folder"):
            back_up(half.settings, folder)
        monkeypatch.setattr("pathlib.Path.iterdir", lambda _: iter(()))  # as one who looked in the same moment
        with pytest.raises(BatteryError, match="is not empty; name a new folder"):
            back_up(half.settings, folder)
        monkeypatch.undo()
        return claim_store(*arguments)

    monkeypatch.setattr("battery.backup.claim_store", other)
    assert back_up(half.settings, folder) == check_backup(folder)


def test_a_backup_that_is_killed_is_told_as_none(half: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    stopped = half.start("backup", str(folder))
    while not (folder / "battery.duckdb").exists():
        assert stopped.poll() is None
    stopped.kill()
    stopped.wait()
    with pytest.raises(BatteryError, match=r"is no backup, or one that broke off"):
        restore(half.settings, folder, force=True)
    back_up(half.settings, tmp_path / "another")
    check_backup(tmp_path / "another")


def test_an_object_of_the_store_with_the_same_size_and_other_content_is_written_again(
    half: Pipeline, tmp_path: Path
) -> None:
    backup = back_up(half.settings, tmp_path / "backup")
    path = half.folder / "objects" / backup.named[0].key
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"?")
    assert restore(half.settings, tmp_path / "backup", force=True).objects == 1
    assert path.read_bytes() == kept


def test_a_restore_that_breaks_off_leaves_no_recovery_store_that_is_ahead(
    half: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(half.settings, tmp_path / "backup")
    log = go_on(half, tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("battery.restore._place_recovery", full)
    with pytest.raises(BatteryError, match="No space left on device; make room, then again"):
        restore(half.settings, tmp_path / "backup", force=True)
    assert not (half.folder / "recovery").exists()
    half.battery("stream", "--until-end")
    require_sound(half, log.tables)


def test_objects_that_are_only_listed_must_be_in_the_store(half: Pipeline, tmp_path: Path) -> None:
    backup = back_up(half.settings, tmp_path / "backup", with_objects=False)
    assert not [file for file in backup.files if file.path.startswith("objects/")]
    log = go_on(half, tmp_path)
    lose(half, "battery.duckdb", "recovery")
    hidden = half.folder / "objects" / backup.named[0].key
    kept = hidden.read_bytes()
    hidden.unlink()
    with pytest.raises(BatteryError, match=r"lacks 1 of the \d+ objects that the backup names"):
        restore(half.settings, tmp_path / "backup")
    hidden.write_bytes(kept)
    restore(half.settings, tmp_path / "backup")
    half.battery("stream", "--until-end")
    require_sound(half, log.tables)


def test_a_damaged_object_is_found_by_the_backup_and_secrets_are_left_out(half: Pipeline, tmp_path: Path) -> None:
    secrets = {"dashboard_password": "hush", "minio_access_key": "hush", "minio_secret_key": "hush"}
    settings = half.settings.model_copy(update=secrets)
    backup = back_up(type(settings)(**(half.settings.model_dump() | secrets)), tmp_path / "backup")
    text = (tmp_path / "backup" / "settings.json").read_text()
    assert "hush" not in text
    assert half.topic in text
    (half.folder / "objects" / backup.named[0].key).write_bytes(b"?")
    with pytest.raises(BatteryError, match=r"is damaged; `battery verify` says what to do"):
        back_up(half.settings, tmp_path / "another")
    assert not (tmp_path / "another" / MANIFEST).exists()
