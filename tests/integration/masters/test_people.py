"""People and calibrations, measured or changed here, and the next import."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, BadInput, Conflict, NotFound
from edge_agent.masters.users import Users
from edge_agent.models import Role
from edge_agent.store import users
from tests.bundles import CALIBRATIONS, ITEMS, USERS, write_bundle
from tests.integration.masters.conftest import ADMIN, Site


def test_a_calibration_is_in_force_at_once(site: Site) -> None:
    site.masters.put_calibration(
        "cam1", 10.0, "2027-01-01T09:00:00+09:00", "checkerboard", {"corners": 54}, ADMIN
    )
    row = site.masters.running.calibrations["cam1"]
    assert (row["um_per_px"], row["valid_until"], row["detail"]) == (
        10.0,
        "2027-01-01T00:00:00.000Z",
        {"corners": 54},
    )
    assert site.actions() == ["calibration.put"]
    with pytest.raises(BadDefinition) as caught:
        site.masters.put_calibration("", -1, "tomorrow", "checkerboard", {}, ADMIN)
    assert {p.pointer for p in caught.value.problems} == {"/name", "/um_per_px", "/valid_until"}


def test_a_calibration_measured_here_survives_the_next_import(tmp_path: Path, used: Site) -> None:
    used.masters.put_calibration("cam1", 10.0, "2027-06-01T00:00:00Z", "checkerboard", {}, ADMIN)
    used.masters.import_bundle(write_bundle(tmp_path / "2", {"items.json": ITEMS[:1]}), ADMIN)
    assert used.masters.running.calibrations["cam1"]["um_per_px"] == 10.0
    newer = {"calibrations.json": [{**CALIBRATIONS[0], "um_per_px": 14.0}]}
    used.masters.import_bundle(write_bundle(tmp_path / "3", newer), ADMIN)
    assert used.masters.running.calibrations["cam1"]["um_per_px"] == 14.0


def test_people_are_added_and_changed_with_an_audit_entry(site: Site) -> None:
    people = Users(site.database, Clock())
    added = people.add("sato", "佐藤", Role.ADMIN, "correct horse", ADMIN)
    assert (added.username, added.role, added.is_active) == ("sato", Role.ADMIN, True)
    with pytest.raises(Conflict):
        people.add("sato", "Another", Role.INSPECTOR, "correct horse", ADMIN)
    with pytest.raises(BadInput):
        people.add("abe", "阿部", Role.INSPECTOR, "short", ADMIN)
    with pytest.raises(BadDefinition) as caught:
        people.add(" x", "", Role.INSPECTOR, "correct horse", ADMIN, email="nowhere")
    assert {problem.pointer for problem in caught.value.problems} == {"/username", "/full_name", "/email"}
    with pytest.raises(Conflict):
        people.set_active("sato", False, ADMIN)
    people.set_password("sato", "battery staple", ADMIN)
    with site.database.read() as reader:
        found = users.find_user(reader, "sato")
    from argon2 import PasswordHasher

    assert found is not None
    assert PasswordHasher().verify(found[1], "battery staple")
    people.add("abe", "阿部", Role.ADMIN, "correct horse", ADMIN)
    assert not people.set_active("sato", False, ADMIN).is_active
    assert people.set_active("sato", True, ADMIN).is_active
    assert site.actions() == ["user.add", "user.password", "user.add", "user.disable", "user.enable"]
    with pytest.raises(NotFound):
        people.set_password("nobody", "battery staple", ADMIN)


def test_an_imported_user_keeps_the_password_changed_here_and_logins_end_when_it_changes(
    tmp_path: Path, used: Site
) -> None:
    Users(used.database, Clock()).set_password("sato", "battery staple", ADMIN)
    with used.database.write() as tx:
        found = users.find_user(tx, "sato")
        assert found is not None
        users.add_login(tx, "t" * 64, found[0].id, "2026-11-23T00:00:00.000Z", "2099-01-01T00:00:00.000Z")
    used.masters.import_bundle(write_bundle(tmp_path / "2", {"items.json": ITEMS[:1]}), ADMIN)
    now = "2026-11-23T00:00:01.000Z"
    with used.database.read() as reader:
        kept = users.find_user(reader, "sato")
        assert kept is not None
        assert kept[1] == found[1]
        assert users.user_of_login(reader, "t" * 64, now) is not None
    rehashed = [{**USERS[0], "password_hash": USERS[0]["password_hash"].replace("t=3", "t=4")}]
    used.masters.import_bundle(write_bundle(tmp_path / "3", {"users.json": rehashed}), ADMIN)
    with used.database.read() as reader:
        changed = users.find_user(reader, "sato")
        assert changed is not None
        assert changed[1] == rehashed[0]["password_hash"]
        assert users.user_of_login(reader, "t" * 64, now) is None
