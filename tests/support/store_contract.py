"""The contract of an object store, as tests of a fixture `store`; each store's own module imports and so runs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from kernel.edges.objects import ObjectStore


def test_an_object_comes_back_as_it_went(store: ObjectStore) -> None:
    store.put("raw/sha256=ab/CS2 35 ü.xlsx", b"\x00content")
    assert store.get("raw/sha256=ab/CS2 35 ü.xlsx") == b"\x00content"


def test_a_second_put_replaces_the_first(store: ObjectStore) -> None:
    store.put("a/b", b"one")
    store.put("a/b", b"three")
    assert store.get("a/b") == b"three"
    assert [found.size for found in store.list("a/")] == [5]


def test_an_object_written_only_where_there_is_none_is_never_replaced(store: ObjectStore) -> None:
    assert store.put_new("a/b", b"one")
    assert not store.put_new("a/b", b"three")
    assert store.get("a/b") == b"one"
    assert [found.key for found in store.list("")] == ["a/b"]


def test_of_many_who_write_an_object_where_there_is_none_one_succeeds(store: ObjectStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: store.put_new("a", b"%d" % number), range(4)))
    assert written.count(True) == 1
    assert store.get("a") == b"%d" % written.index(True)


def test_a_listing_holds_all_keys_below_a_prefix_and_no_others(store: ObjectStore) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "c"):
        store.put(key, key.encode())
    assert sorted(found.key for found in store.list("a/")) == ["a/1", "a/b/2"]
    assert sorted(found.key for found in store.list("")) == ["a/1", "a/b/2", "ab/3", "c"]


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(store: ObjectStore) -> None:
    store.put("a", b"x")
    store.delete("a")
    store.delete("a")
    assert list(store.list("")) == []


def test_an_absent_object_is_one_line_that_names_it(store: ObjectStore) -> None:
    with pytest.raises(BatteryError, match="absent/key") as caught:
        store.get("absent/key")
    assert "\n" not in str(caught.value)
