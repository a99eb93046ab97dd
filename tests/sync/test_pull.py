"""Pages and rounds: what may be believed of them, as pure functions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.masters.round import by_column, sha256_of
from edge_agent.sync.pull import PageRefused, Place, accept_page, assemble
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import Change, Page
from sync_protocol.tables import PRODUCTS, SPACES
from tests.sync.fake_central import new_id, product, user

EPOCH, OTHER = new_id(100), new_id(101)
PLACE = Place("masters", 5, EPOCH)


def put(version: int, row: dict[str, Any], table: str = "inspection_targets_master") -> Change:
    data = canonical_row(row).decode()
    row_id = row.get("id") or row["server_id"]
    return Change(table, row_id, "put", version, data, sha256_hex(data.encode()))


def page(*changes: Change, **values: Any) -> Page:
    last = changes[-1].version if changes else 5
    about = {
        "space": "masters",
        "server_epoch": EPOCH,
        "from_cursor": 5,
        "to_cursor": last,
        "has_more": False,
    }
    return Page(**{**about, "changes": changes, **values})


def test_a_page_is_accepted_where_the_last_one_ended() -> None:
    assert accept_page(page(put(6, product(1)), put(9, product(2)), to_cursor=12), PLACE) == Place(
        "masters", 12, EPOCH
    )


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (page(put(6, product(1)), space="decisions"), "page-damaged"),
        (page(put(6, product(1)), server_epoch=OTHER), "pull-reset"),
        (page(put(9, product(1)), from_cursor=8), "page-damaged"),
        (page(put(4, product(1))), "page-damaged"),
        (page(put(5, product(1))), "page-damaged"),
        (page(put(7, product(1)), put(6, product(2)), to_cursor=7), "page-damaged"),
        (page(put(6, product(1)), put(6, product(2))), "page-damaged"),
        (page(put(9, product(1)), to_cursor=8), "page-damaged"),
        (page(to_cursor=4), "page-damaged"),
        (page(has_more=True), "page-damaged"),
    ],
)
def test_a_page_that_does_not_continue_is_refused(bad: Page, code: str) -> None:
    with pytest.raises(PageRefused) as refused:
        accept_page(bad, PLACE)
    assert refused.value.code == code


def test_pages_in_another_order_do_not_join() -> None:
    first = page(put(6, product(1)), has_more=True)
    second = page(put(7, product(2)), from_cursor=6)
    assert assemble([first, second], PLACE).to_cursor == 7
    with pytest.raises(PageRefused):
        assemble([second, first], PLACE)


def test_a_row_counts_as_it_came_last() -> None:
    bad = put(6, product(1))._replace(data='{"half":')
    gone = Change("inspection_targets_master", new_id(2), "tombstone", 9)
    round_ = assemble(
        [page(bad, put(7, product(2)), has_more=True), page(put(8, product(1)), gone, from_cursor=7)], PLACE
    )
    assert round_.problems == []
    assert {one: row[-2] for one, row in round_.puts["inspection_targets_master"].items()} == {new_id(1): 8}
    assert round_.tombstones["inspection_targets_master"] == {new_id(2): 9}
    assert not round_.is_full


def raw(data: Any) -> Change:
    text = data if isinstance(data, str) else json.dumps(data)
    return Change("inspection_targets_master", new_id(1), "put", 6, text, "")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in product(1).items() if key != name}


@pytest.mark.parametrize(
    ("change", "code", "column"),
    [
        (put(6, product(1) | {"weight": 1}), "schema-newer", "/weight"),
        (put(6, without("product_name")), "schema-older", "/product_name"),
        (put(6, product(1, is_active="1")), "row-invalid", "/is_active"),
        (raw(product(1) | {"is_active": True}), "row-invalid", "/is_active"),
        (raw(product(1) | {"is_active": 1.0}), "row-invalid", "/is_active"),
        (put(6, product(1, product_code=None)), "row-invalid", "/product_code"),
        (raw(product(1) | {"description": {"a": 1}}), "row-invalid", "/description"),
        (put(6, product(2))._replace(id=new_id(1)), "row-invalid", "/id"),
        (raw(dict(reversed(product(1).items()))), "row-invalid", ""),
        (raw("[]"), "row-invalid", ""),
        (raw("{"), "row-invalid", ""),
        (raw('{"a":NaN}'), "row-invalid", ""),
        (put(6, product(1), "conveyors"), "schema-newer", ""),
        (put(6, product(1), "central_decisions"), "schema-newer", ""),
    ],
)
def test_a_row_this_version_does_not_understand_is_a_problem_that_names_it(
    change: Change, code: str, column: str
) -> None:
    round_ = assemble([page(change, put(7, user(3), "users"), to_cursor=7)], PLACE)
    assert [(p.code, p.pointer) for p in round_.problems] == [(code, column)]
    assert round_.problems[0].file == f"{change.table}/{change.id}"
    assert list(round_.puts["users"]) == [new_id(3)]


def test_every_column_of_every_table_is_in_canonical_order() -> None:
    from sync_protocol.tables import PULLED

    for table in PULLED.values():
        assert list(table.columns) == sorted(table.columns), table.name


def test_what_an_older_server_cannot_say_yet_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two columns came later, one version each: a row is of one of the three versions, or of none."""
    table = replace(PRODUCTS, later=("description", "created_by"))
    monkeypatch.setitem(SPACES["masters"], table.name, table)
    rows = {number: put(number, product(number)) for number in (6, 7, 8, 9)}
    for number, lacking in ((7, {"created_by"}), (8, {"description", "created_by"}), (9, {"description"})):
        known = {name: value for name, value in product(number).items() if name not in lacking}
        rows[number] = put(number, known)
    round_ = assemble([page(*rows.values())], PLACE)
    assert [(one.file, one.code) for one in round_.problems] == [(f"{table.name}/{new_id(9)}", "row-invalid")]
    assert list(round_.puts[table.name]) == [new_id(6), new_id(7), new_id(8)]
    for row_id, row in round_.puts[table.name].items():
        local = by_column(table, row)
        change = next(one for one in rows.values() if one.id == row_id)
        assert local.keys() == {*table.columns}
        assert sha256_of(table, local, row[-1]) == change.sha256
        assert sha256_of(table, local | {"product_name": "x"}, row[-1]) != change.sha256
        assert sha256_of(table, local | {"description": "x"}, row[-1]) != change.sha256
