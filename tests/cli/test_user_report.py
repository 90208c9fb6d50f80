"""Tests of `efcx-gateway user show` and `sessions …`, on a real Redis and the stand-in identity provider."""

import asyncio
import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.domain.user import User
from gateway.settings import key_ring
from tests.cli.signed_in import cookies_of_new_sessions
from tests.cli.test_user import OperatorConsole, console, provider

__all__ = ["console", "provider"]
pytestmark = pytest.mark.row("GW-17")


def run(console: OperatorConsole, *words: str) -> Result:
    """Runs a command for the console's user, in this process."""
    one = (*words, console.user.username, "--tenant", "one", "--config", str(console.folder.write()))
    return CliRunner().invoke(app, one)


def data(console: OperatorConsole, *words: str) -> Any:
    """What a command says, as data."""
    done = CliRunner().invoke(
        app,
        [*words, console.user.username, "--tenant", "one", "--json", "--config", str(console.folder.write())],
    )
    assert done.stdout, done.output + repr(done.exception)
    return json.loads(done.stdout)


def sign_in(console: OperatorConsole, count: int) -> None:
    """Opens sessions of the console's user, and one of another user."""
    for number, user in ((count, User(console.user.id, console.user.username)), (1, User("other", "other"))):
        open_sessions(console, number, user)


def open_sessions(console: OperatorConsole, count: int, user: User) -> None:
    """Opens sessions of a user."""
    loaded, ring = console.folder.load().configuration, key_ring.read(console.folder.path / "ring.key")
    assert loaded
    url, tenant = loaded.gateway.store.url.value, loaded.tenants[0]
    asyncio.run(cookies_of_new_sessions(count, tenant, ring, url, user))


def test_a_user_is_shown_with_methods_and_masked_addresses(console: OperatorConsole) -> None:
    console.enrol()
    done = run(console, "user", "show")
    lines = {name: text.strip() for name, text in (line.split(":", 1) for line in done.stdout.splitlines())}
    assert done.exit_code == 0
    assert (lines["account"], lines["methods"], lines["locked"]) == ("enabled", "email u***@e***.com", "no")
    assert "user@example.com" not in done.stdout


def test_a_disabled_user_is_exit_code_1(console: OperatorConsole) -> None:
    console.provider.server.admin.request("PUT", f"users/{console.user.id}", json={"enabled": False})
    done = run(console, "user", "show")
    assert done.exit_code == 1
    assert "disabled in Keycloak" in done.stdout


def test_the_sessions_of_a_user_are_listed_and_none_of_others(console: OperatorConsole) -> None:
    sign_in(console, 2)
    found = data(console, "sessions", "list")
    assert [one["second_factor"] for one in found] == ["proved", "proved"]
    assert len(run(console, "sessions", "list").stdout.strip().splitlines()) >= 4


def test_the_sessions_of_all_users_of_a_tenant_are_listed(console: OperatorConsole) -> None:
    other = console.provider.server.admin.create_user()
    sign_in(console, 1)
    open_sessions(console, 1, User(other.id, other.username))
    words = ("sessions", "list", "--tenant", "one", "--config", str(console.folder.write()))
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert {one["username"] for one in found} == {console.user.username, other.username}
    lines = CliRunner().invoke(app, words).stdout.splitlines()
    assert [one["id"] for one in found if not any(one["id"] in line for line in lines)] == []
    assert max(map(len, lines)) <= 80


def test_the_page_of_a_tenant_with_more_users_names_the_next_page(
    console: OperatorConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.provider.server.admin.create_user()
    monkeypatch.setattr("gateway.administration.user_report.PAGE", 1)
    sign_in(console, 2)
    words = ("sessions", "list", "--tenant", "one", "--json", "--config", str(console.folder.write()))
    assert len(json.loads(CliRunner().invoke(app, words).stdout)) == 2


def test_a_lock_of_keycloak_is_shown(console: OperatorConsole) -> None:
    users = console.provider.realms[console.provider.server.realm].users
    (person,) = [one for one in users if one.id == console.user.id]
    person.locked = True
    done = run(console, "user", "show")
    assert done.exit_code == 1
    assert re.search("^locked: +by Keycloak$", done.stdout, re.MULTILINE)


def test_a_name_does_not_act_on_the_terminal(console: OperatorConsole) -> None:
    console.provider.server.admin.request("PUT", f"users/{console.user.id}", json={"firstName": "Anna\x1b[2J"})
    shown = run(console, "user", "show").stdout
    assert (r"Anna\x1b[2J" in shown, "\x1b" in shown) == (True, False)


def test_a_user_without_a_session_is_answered_in_words(console: OperatorConsole) -> None:
    assert "has no open session" in run(console, "sessions", "list").stdout


def test_one_session_is_ended_by_its_id(console: OperatorConsole) -> None:
    sign_in(console, 2)
    first, second = data(console, "sessions", "list")
    assert data(console, "sessions", "end", "--yes", "--id", first["id"])["sessions"] == 1
    assert [one["id"] for one in data(console, "sessions", "list")] == [second["id"]]


def test_all_sessions_of_a_user_are_ended_and_audited(console: OperatorConsole) -> None:
    sign_in(console, 3)
    assert "signed out of 3 sessions" in run(console, "sessions", "end", "--yes", "--by", "Sara").stdout
    assert data(console, "sessions", "list") == []
    (line,) = console.audited("user_signed_out")
    assert (line["username"], line["sessions"], line["by"]) == (console.user.username, 3, "command line: Sara")


def test_the_session_of_another_user_is_not_ended(console: OperatorConsole) -> None:
    sign_in(console, 1)
    done = run(console, "sessions", "end", "--yes", "--id", "of-another")
    assert "has no open session of-another" in str(done.exception)


def test_no_session_is_ended_without_a_confirmation(console: OperatorConsole) -> None:
    sign_in(console, 1)
    assert run(console, "sessions", "end").exit_code == 1
    assert len(data(console, "sessions", "list")) == 1
