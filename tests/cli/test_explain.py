"""Tests of `efcx-gateway explain`, on a real Redis and the stand-in identity provider."""

import asyncio
import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.domain.policy import FactorKind
from gateway.second_factor import rate_limits
from gateway.second_factor.rate_limits import Limited, LimitSubject
from gateway.services import open_services
from gateway.settings import key_ring
from tests.cli.test_user import OperatorConsole, console, provider
from tests.fixtures.keycloak_admin import Person as User

__all__ = ["console", "provider"]
pytestmark = pytest.mark.row("NX-12")


@pytest.fixture(autouse=True)
def policy(console: OperatorConsole) -> None:
    """Every user needs a factor, may trust a browser, and `/admin` is for supervisors."""
    console.folder.two_factor.update(enrolment="required", trustBrowserDays=30)
    console.folder.gateway["defaults"]["routes"] = [
        {"path": "/app", "to": "https://app:3000"},
        {"path": "/admin", "to": "https://app:3000", "allow": {"roles": ["supervisor"]}},
        {"path": "/open", "to": "https://app:3000", "second_factor": "off"},
    ]


def run(console: OperatorConsole, *words: str, user: User | None = None, to: str = "/app") -> Result:
    """Runs the command in this process."""
    name = (user or console.user).username
    words = ("explain", name, "--path", to, *words, "--config", str(console.folder.write()))
    return CliRunner().invoke(app, words if "--host" in words else (*words, "--tenant", "one"))


def said(console: OperatorConsole, *words: str, user: User | None = None, to: str = "/app") -> dict[str, Any]:
    """What the command says, as data."""
    done = run(console, *words, "--json", user=user, to=to)
    assert done.exit_code in (0, 1), done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_user_without_a_factor_must_set_one_up(console: OperatorConsole) -> None:
    assert (said(console)["rule"], said(console)["factors"]) == ("enrolment-required", [])


def test_a_user_with_a_factor_is_asked_for_it_but_not_in_a_trusted_browser(console: OperatorConsole) -> None:
    console.enrol()
    found = said(console)
    assert (found["decision"], found["rule"]) == ("a code is asked: email", "enrolled")
    assert found["in_a_trusted_browser"]["rule"] == "trusted-browser"
    assert found["factors"] == [{"factor": "email", "address": "u***@e***.com"}]


def test_at_a_shared_desk_no_browser_is_trusted(console: OperatorConsole) -> None:
    console.enrol()
    console.folder.own["never_trust_from"] = ["192.0.2.0/24"]
    assert "in_a_trusted_browser" not in said(console, "--address", "192.0.2.9")
    assert "in_a_trusted_browser" in said(console, "--address", "198.51.100.9")


def test_an_app_that_asks_for_no_factor_is_opened_with_the_password(console: OperatorConsole) -> None:
    assert said(console, to="/open")["rule"] == "route-asks-none"


def test_a_user_without_the_role_of_an_app_is_denied_and_one_with_it_is_not(console: OperatorConsole) -> None:
    supervisor = console.provider.server.admin.create_user(roles=("supervisor",))
    denied, allowed = said(console, to="/admin"), said(console, to="/admin", user=supervisor)
    assert (denied["app"], denied["app_rule"]) == ("denied", "no realm role of allow: supervisor")
    assert (allowed["app"], allowed["app_rule"]) == ("allowed", "realm role supervisor")


def test_a_path_without_an_app_is_not_found(console: OperatorConsole) -> None:
    done = run(console, to="/nowhere")
    assert (done.exit_code, "not-found" in done.stdout) == (1, True)


def test_a_path_that_the_gateway_rejects_is_explained_by_the_same_check(console: OperatorConsole) -> None:
    assert said(console, to="/app/../admin")["answer"] == "bad-request"


def test_the_tenant_of_a_host_name_is_found_as_for_a_request(console: OperatorConsole) -> None:
    assert said(console, "--host", "ONE.example.com")["tenant"] == "one"
    assert "421" in str(run(console, "--host", "two.example.com").exception)


def test_a_lock_is_named_with_its_end_and_is_over_after_it(console: OperatorConsole) -> None:
    console.enrol()
    held = asyncio.run(lock(console))
    found = said(console)
    assert (found["locked_by"], found["locked_until"]) == (held.limit.setting, pytest.approx(held.until))
    later = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(held.until + 60))
    assert "locked_by" not in said(console, "--time", later)


async def lock(console: OperatorConsole) -> Limited:
    """Locks the user's codes by failures; returns the lock."""
    loaded = console.folder.load().configuration
    assert loaded
    async with open_services(lambda: loaded, key_ring.read(console.folder.path / "ring.key")) as services:
        subject = LimitSubject("one", console.user.id, "", FactorKind.EMAIL)
        group = rate_limits.for_user(loaded.tenants[0].policy, loaded.gateway.limits, subject)
        while not isinstance(held := await services.rate_limiter.reserve((group,)), Limited):
            pass
        return held


def test_the_text_names_the_decision_and_its_rule(console: OperatorConsole) -> None:
    console.enrol()
    done = run(console)
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert done.exit_code == 0
    assert lines["decision"].strip() == "a code is asked: email (rule enrolled)"
    assert lines["app"].strip() == "/app (https://app:3000)"


def test_an_explanation_shows_no_address_in_full(console: OperatorConsole) -> None:
    console.enrol()
    assert "user@example.com" not in run(console).stdout
    assert "user@example.com" not in run(console, "--json").stdout
