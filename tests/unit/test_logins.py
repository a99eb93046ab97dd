"""Passwords, tokens, back-off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from edge_agent.api.logins import Logins
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.errors import Busy, Denied
from edge_agent.models import Actor
from edge_agent.passwords import MAX_WAIT_S, NOBODY, Attempts, pause_s, sha256_of
from edge_agent.store import users
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
RIGHT, WRONG = "correct horse", "wrong horse"


@dataclass
class Hands:
    """A clock whose hands the test moves."""

    now: float = 1_795_435_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def database(tmp_path: Path, hands: Hands) -> Iterator[Database]:
    clock = Clock(time=hands, monotonic=hands)
    with closing(open_database(tmp_path / "edge.db", clock, "desktop", "test")) as opened:
        with opened.write() as tx:
            row = {
                "username": "mika",
                "password_hash": CHEAP.hash(RIGHT),
                "role": "inspector",
                "server_id": "u",
            }
            insert(tx, "users", row)
            insert(tx, "users", {"username": "ghost", "password_hash": "", "role": "admin", "server_id": "g"})
        yield opened


@pytest.fixture
def logins(database: Database, hands: Hands, tmp_path: Path) -> Logins:
    clock = Clock(time=hands, monotonic=hands)
    return Logins(database, clock, load_config(tmp_path, login_hours=1.0), "the install token")


def test_a_token_is_good_until_it_expires_and_is_not_stored(
    logins: Logins, database: Database, hands: Hands
) -> None:
    login = logins.log_in("mika", RIGHT)
    found = logins.user_of(login.token)
    assert found is not None
    assert found.username == "mika"
    with database.read() as reader:
        [row] = reader.execute("SELECT * FROM login_tokens").fetchall()
    assert row["token_sha256"] == sha256_of(login.token)
    assert login.token not in str(tuple(row))
    hands.now += 3601
    assert logins.user_of(login.token) is None


def test_logging_out_ends_one_login_only(logins: Logins) -> None:
    one, two = logins.log_in("mika", RIGHT), logins.log_in("mika", RIGHT)
    logins.log_out(one.token, Actor("mika", one.user.id))
    assert logins.user_of(one.token) is None
    assert logins.user_of(two.token) is not None


@pytest.mark.parametrize("name", ["mika", "nobody", "ghost", "", "' OR 1=1 --"])
def test_whatever_is_wrong_is_said_the_same_way(logins: Logins, name: str) -> None:
    with pytest.raises(Denied) as refused:
        logins.log_in(name, WRONG)
    assert refused.value.code_ == "login-failed"
    assert str(refused.value) == "User name or password is wrong."


def test_an_unknown_name_costs_a_real_check() -> None:
    hasher = PasswordHasher()
    assert not hasher.check_needs_rehash(NOBODY)


def test_an_inactive_user_and_a_changed_password_end_logins(logins: Logins, database: Database) -> None:
    login = logins.log_in("mika", RIGHT)
    with database.write() as tx:
        users.set_password(tx, login.user.id, CHEAP.hash("another one"), "2026-11-23T00:00:00.000Z")
    assert logins.user_of(login.token) is None
    again = logins.log_in("mika", "another one")
    with database.write() as tx:
        users.set_active(tx, login.user.id, False, "2026-11-23T00:00:00.000Z")
    assert logins.user_of(again.token) is None
    with pytest.raises(Denied):
        logins.log_in("mika", "another one")


def test_failures_slow_down_that_name_and_no_other(logins: Logins, hands: Hands) -> None:
    for _ in range(3):
        with pytest.raises(Denied):
            logins.log_in("nobody", WRONG)
    with pytest.raises(Busy) as slowed:
        logins.log_in("nobody", WRONG)
    assert slowed.value.code_ == "login-slowed"
    assert slowed.value.context["retry_after_s"] == pytest.approx(1.0)
    assert logins.log_in("mika", RIGHT).user.username == "mika"
    hands.now += 1.01
    with pytest.raises(Denied):
        logins.log_in("NOBODY", WRONG)


def test_guessing_the_old_password_is_slowed_down_as_logging_in_is(logins: Logins, hands: Hands) -> None:
    user = logins.log_in("mika", RIGHT).user
    logins.confirm(user, RIGHT)
    for _ in range(3):
        with pytest.raises(Denied) as wrong:
            logins.confirm(user, WRONG)
        assert wrong.value.code_ == "password-wrong"
    with pytest.raises(Busy):
        logins.confirm(user, RIGHT)
    hands.now += 1.01
    logins.confirm(user, RIGHT)


def test_nobody_is_locked_out_for_long() -> None:
    assert [pause_s(failed) for failed in range(6)] == [0, 0, 0, 1, 2, 4]
    assert max(pause_s(failed) for failed in range(10_000)) == MAX_WAIT_S


def test_old_failures_and_old_names_are_forgotten() -> None:
    attempts = Attempts()
    for _ in range(20):
        attempts.failed("mika", 0.0)
    assert attempts.wait_s("mika", 1.0) == pytest.approx(MAX_WAIT_S - 1)
    attempts.failed("mika", 10_000.0)
    assert attempts.wait_s("mika", 10_000.0) == 0
    for number in range(3000):
        attempts.failed(f"name{number}", 0.0)
    assert len(attempts._failed) <= 1000


def test_the_install_token_is_compared_whole(logins: Logins, database: Database, tmp_path: Path) -> None:
    assert logins.is_install_token("the install token")
    assert not logins.is_install_token("the install toke")
    without = Logins(database, Clock(), load_config(tmp_path), "")
    assert not without.is_install_token("")
