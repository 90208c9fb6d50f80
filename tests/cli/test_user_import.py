"""Tests of `efcx-gateway user import`, on a real Redis and the stand-in identity provider."""

import json
import signal
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import user_import
from gateway.cli.main import app
from gateway.demo.identity_provider import Realm
from gateway.operations import user_import as operations
from tests.cli.test_user import OperatorConsole, console, provider
from tests.fixtures.efcx_registrations import Attributes, new_secret, registered, with_app
from tests.fixtures.installation import CHANNEL
from tests.fixtures.keycloak_admin import Person as User

PAGE = 2
__all__ = ["console", "provider"]
pytestmark = pytest.mark.row("NX-06")


@pytest.fixture
def realm(console: OperatorConsole) -> Iterator[Realm]:
    """Yields the realm of the console, where only administrators write undeclared attributes."""
    realm = console.provider.realms[console.provider.server.realm]
    for user in realm.users:
        user.attributes = {}
    realm.profile["unmanagedAttributePolicy"] = "ADMIN_EDIT"
    console.folder.gateway["channels"][0]["serviceIdentifier"] = CHANNEL
    console.folder.two_factor.update(
        methods=[{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}, {"channelType": "APP"}],
        registrationContact="any",
    )
    yield realm
    realm.profile.pop("unmanagedAttributePolicy", None)


def run(console: OperatorConsole, *words: str, tenant: str = "one") -> Result:
    """Runs the command in this process."""
    return CliRunner().invoke(app, ["user", "import", tenant, *words, "--config", str(console.folder.write())])


def user(console: OperatorConsole, attributes: Attributes, name: str | None = None) -> User:
    """Makes a user whom EFCX registered."""
    return console.provider.server.admin.create_user(username=name, attributes=attributes)


def sealed(console: OperatorConsole, one: User) -> bool:
    """Returns whether the user has enrolments of the gateway."""
    return console.provider.server.admin.attribute(one.id) != []


@pytest.mark.usefixtures("realm")
def test_by_default_the_command_reports_and_writes_nothing(console: OperatorConsole) -> None:
    app_user = user(console, with_app(new_secret()))
    mail_user = user(console, registered("EMAIL", "anna@example.com"))
    done = run(console)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == sorted([f"{app_user.username}: totp", f"{mail_user.username}: email a***@e***.com"])
    assert lines[2:] == [
        "registrations: 2; would be taken over: 2; skipped: 0; need attention: 0",
        "nothing was written; run the command again with --apply",
    ]
    assert not sealed(console, app_user)


@pytest.mark.usefixtures("realm")
def test_with_apply_the_command_writes_and_audits_and_a_second_run_skips(console: OperatorConsole) -> None:
    one = user(console, with_app(new_secret()))
    done = run(console, "--apply", "--by", "Sara")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0,
        "registrations: 1; taken over: 1; skipped: 0; need attention: 0",
    )
    assert sealed(console, one)
    (line,) = console.audited("enrolment_imported")
    assert (line["username"], line["by"]) == (one.username, "command line: Sara")
    again = run(console, "--apply")
    assert (again.exit_code, f"{one.username}: skipped: already enrolled" in again.stdout) == (0, True)


@pytest.mark.usefixtures("realm")
def test_a_registration_that_needs_attention_is_exit_code_1(console: OperatorConsole) -> None:
    one = user(console, registered("EMAIL", "nonsense"))
    done = run(console)
    assert done.exit_code == 1
    assert f"{one.username}: needs attention: the address is invalid" in done.stdout


def test_where_users_may_write_the_attributes_the_command_stops_with_exit_code_2_and_the_fix(
    console: OperatorConsole, realm: Realm
) -> None:
    realm.profile["unmanagedAttributePolicy"] = "ENABLED"
    done = run(console, "--apply")
    assert (done.exit_code, done.stdout) == (2, "")
    assert 'set Realm settings, General, Unmanaged attributes to "Only administrators can write"' in done.stderr


@pytest.mark.usefixtures("realm")
def test_a_command_that_cannot_run_is_exit_code_2(console: OperatorConsole) -> None:
    assert run(console, tenant="two").exit_code == 2
    console.folder.two_factor["otpLength"] = 99
    done = run(console)
    assert (done.exit_code, done.stdout, "otpLength" in done.stderr) == (2, "", True)


@pytest.mark.usefixtures("realm")
def test_the_report_is_data_on_request_and_names_the_users_of_a_shared_address(console: OperatorConsole) -> None:
    secret = new_secret()
    names = [user(console, registered("EMAIL", address), name).username for name, address in SHARED.items()]
    user(console, with_app(secret))
    done = run(console, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["written"], found["complete"], len(found["users"])) == (0, False, True, 3)
    assert found["shared_addresses"] == [{"address": "d***@e***.com", "users": names}]
    assert {"username": names[0], "outcome": "taken-over", "factor": "email", "address": "d***@e***.com"} in found[
        "users"
    ]
    assert secret not in done.output
    assert "desk@" not in done.output.lower()
    assert f"d***@e***.com is shared by {', '.join(names)}" in run(console).stdout


SHARED = {"agent-a": "desk@example.com", "agent-b": "Desk@Example.com"}


@pytest.mark.usefixtures("realm")
def test_a_long_run_tells_its_progress_and_stops_after_a_page_when_it_is_interrupted(
    console: OperatorConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [user(console, registered("EMAIL", f"u{number}@example.com")) for number in range(2 * PAGE + 1)]
    monkeypatch.setattr(operations, "PAGE", PAGE)
    monkeypatch.setattr(user_import, "PROGRESS", 0.0)
    add = user_import.Report.add

    def interrupted(report: user_import.Report, users: list[dict[str, object]]) -> None:
        add(report, users)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(user_import.Report, "add", interrupted)
    done = run(console, "--apply")
    assert done.exit_code == 2
    assert f"… {2 * PAGE} users in " in done.stderr
    assert "run the command again: it skips the users that are done" in done.stderr
    assert sum(sealed(console, one) for one in made) == 2 * PAGE  # the page in which the signal arrived is finished
    monkeypatch.setattr(user_import.Report, "add", add)
    again = run(console, "--apply")
    assert again.stdout.splitlines()[-1].startswith(
        f"registrations: {2 * PAGE + 1}; taken over: 1; skipped: {2 * PAGE}"
    )
