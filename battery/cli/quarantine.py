"""`battery quarantine`: shows refused rows and files, and publishes rows again after a fix."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kernel.base.errors import BatteryError
from kernel.base.output import complain, say
from kernel.base.startup import start

if TYPE_CHECKING:
    from kernel.base.settings import Settings


@click.group()
def quarantine() -> None:
    """Show refused rows and files, and publish rows again after a fix."""


_reason_option = click.option("--reason", help="Only rows that were refused for this reason.")
_cell_option = click.option("--cell", help="Only rows of this cell.")


@quarantine.command("list")
@_reason_option
@_cell_option
@click.option("--all", "everything", is_flag=True, help="Also show rows that a retry has landed, and dismissed files.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON, a line each, without a limit.")
@click.pass_obj
def quarantine_list(
    debug: bool, reason: str | None, cell: str | None, everything: bool, limit: int, as_json: bool
) -> None:
    """List refused rows with their id, number, reason and retry status, then files.

    The files are those that were refused or passed over before a row was read. --reason leaves them out.
    """
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.care.quarantine import RetryStatus, find_refused

    try:
        refused = find_refused(open_warehouse(settings), reason, cell)
    except BatteryError:  # there may be no warehouse yet, and files that were refused all the same
        _list_files(settings, cell, limit, as_json=as_json, everything=everything)
        raise
    entries = [entry for entry in refused if everything or entry.retry_status is not RetryStatus.LANDED]
    for entry in entries if as_json else entries[:limit]:
        if as_json:
            say(json.dumps({"id": str(entry.place), **asdict(entry)}))
        else:
            rows = f"{entry.row_count} rows" if entry.row_count > 1 else "1 row"
            say(
                f"{entry.place}  {entry.cell_id or '(no cell)'}  {rows}  "
                f"{entry.reason}, {entry.retry_status}: {entry.detail}"
            )
    if not as_json:
        more = f", the first {limit} shown" if len(entries) > limit else ""
        say(f"{sum(entry.row_count for entry in entries)} rows in {len(entries)} entries{more}")
    if reason is None:
        _list_files(settings, cell, limit, as_json=as_json, everything=everything)


def _list_files(settings: Settings, cell: str | None, limit: int, *, as_json: bool, everything: bool) -> None:
    """Print which files were refused or passed over, or that this is unknown, if the object store does not answer."""
    from kernel.edges.file_records import FileState
    from kernel.edges.objects import open_to_look
    from sink.care.files import read_files

    try:
        records = read_files(open_to_look(settings))
    except BatteryError as error:
        complain(f"which files were refused is unknown: {error}")
        return
    files = [
        record
        for record in records
        if (everything or record.state is not FileState.DISMISSED) and (cell is None or record.cell_id == cell)
    ]
    if as_json:
        for record in files:
            say(json.dumps({**asdict(record), "id": f"file:{record.id}"}, default=str))
        return
    if not files:
        return
    more = f", the latest {limit} shown" if len(files) > limit else ""
    say(*(f"file:{record.id}  {record}" for record in files[:limit]), f"{len(files)} files{more}")


@quarantine.command("dismiss")
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.pass_obj
def quarantine_dismiss(debug: bool, names: tuple[str, ...]) -> None:
    """Stop listing refused or passed-over files until their content or the reason changes.

    FILE is an id as `list` prints it, `file:…`. A refused file stays unpublished.
    """
    settings = start(debug)
    from kernel.edges.file_records import FileRecords
    from kernel.edges.objects import open_store

    records = FileRecords(open_store(settings))
    for name in names:
        say(f"dismissed {records.dismiss(name).file}")


@quarantine.command("show")
@click.argument("name", metavar="ID")
@click.pass_obj
def quarantine_show(debug: bool, name: str) -> None:
    """Show one entry with its payload, and the offsets at which it was retried.

    ID is as `list` prints it; the part before the first colon may be left out if there is only one log.
    """
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from sink.care.quarantine import by_id, find_refused

    entry = by_id(find_refused(open_warehouse(settings)), name)
    for label, value in {
        "id": entry.place,
        "cell": entry.cell_id,
        "source file": entry.source_file,
        "rows": entry.row_count,
        "reason": entry.reason,
        "detail": entry.detail,
        "retry": entry.retry_status,
        "retried at": ", ".join(str(place) for place in entry.retries) or None,
    }.items():
        say(f"{label:<12} {'' if value is None else value}")
    say("payload")
    say(entry.payload or "(none is kept of duplicates: the log has them)")


@quarantine.command("retry")
@click.argument("names", metavar="[ID]...", nargs=-1)
@_reason_option
@_cell_option
@click.option("--set", "columns", metavar="COLUMN=VALUE", multiple=True, help="Correct a column of the readings.")
@click.option("--header", "named", metavar="NAME=VALUE", multiple=True, help="Correct a header of the message.")
@click.option("--dry-run", is_flag=True, help="Show what would be published.")
@click.pass_obj
def quarantine_retry(
    debug: bool,
    names: tuple[str, ...],
    reason: str | None,
    cell: str | None,
    columns: tuple[str, ...],
    named: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Publish refused rows again, unchanged or corrected; the worker checks them again.

    Give ids, or --reason or --cell for all rows that match, except duplicates and rows that have landed. A reading
    that lands takes its place in its test; battery_retries traces it to its origin.
    """
    settings = start(debug)
    from kernel.contract.reading import Reason
    from kernel.edges.warehouse import open_warehouse
    from sink.care.quarantine import RetryStatus, by_id, find_refused
    from sink.care.retry import Fix, publish_again, retries_of

    if bool(names) == bool(reason or cell):
        raise BatteryError("say what to retry: ids, or --reason or --cell")
    fix = Fix.read(columns, named)
    refused = find_refused(open_warehouse(settings), reason, cell)
    chosen = (
        [by_id(refused, name) for name in names]
        if names
        else [
            entry
            for entry in refused
            if entry.reason != Reason.DUPLICATE and entry.retry_status is not RetryStatus.LANDED
        ]
    )
    retries = retries_of(settings, chosen, fix)
    if dry_run:
        for retry in retries:
            say(f"{retry.origin} as {retry.key.decode()}: {len(retry.value)} bytes, {dict(retry.headers)}")
        return
    publish_again(settings, retries)
    say(f"published {sum(entry.row_count for entry in chosen)} rows again in {len(retries)} messages")
