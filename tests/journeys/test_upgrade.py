"""Tests of an upgrade: this version keeps the sessions, enrolments, locks and used codes of the previous version.

The previous version runs first, then this one, both as real processes with the same settings files, key ring, Redis and
Keycloak. In every browser a status of 500 or above fails the test (`no_server_error`).
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from gateway.domain.ports import SystemClock
from tests.fixtures import redis
from tests.fixtures.installation import Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person, code_for, codes_to, listed
from tests.fixtures.phone import Phone
from tests.fixtures.ports import free_port
from tests.fixtures.upstream import EchoUpstream
from tests.fixtures.vendor_sites import CLOUDCX
from tests.journeys.previous_version import ROOT, THIS, Version, take

pytestmark = [
    pytest.mark.keycloak,
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.timeout(300),  # the first test waits for Keycloak and for both versions
    pytest.mark.row("GW-37"),
    pytest.mark.asyncio(loop_scope="module"),
]
APP = "/unified-admin/"
SESSION = "gateway-session"


async def no_server_error(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Every answer to every browser is below 500."""
    response = await handler(request)
    assert response.status < 500, f"{request.method} {request.url.path}: {response.status}"
    return response


@dataclass
class SharedParts:
    """The settings and servers that both versions use."""

    settings: Folder
    keycloak: Keycloak
    mail: MailServer
    browsers: AsyncExitStack

    async def browser(self) -> Person:
        """Returns a browser without cookies, which stays open until the end of the tests."""
        return await self.browsers.enter_async_context(Person(self.settings.base, middlewares=[no_server_error]))

    async def user(self) -> User:
        """Makes a new user."""
        return self.keycloak.admin.create_user()

    async def admin_code(self, version: Version, user: User) -> str:
        """Returns the code that the `user code` command of `version` prints for `user`."""
        words = ("user", "code", user.username, "--tenant", "expertflow", "--json")
        return str(json.loads(await version.run(*words, config=self.settings.file))["code"])

    async def at_code_page(self, user: User, browser: Person | None = None) -> Person:
        """Returns a browser after the password, on a page that accepts a code."""
        browser = browser or await self.browser()
        browser.csrf = ""
        asked = await browser.password(user.username, user.password)
        assert (asked.step, asked.problem) == ("verify", None), asked.body
        return browser

    async def enter(self, user: User, code: str) -> Answer:
        """Returns the answer to `code` at a new sign-in of `user`."""
        return await (await self.at_code_page(user)).do("verify", code=code)

    async def mailed(self, user: User, browser: Person) -> str:
        """Signs in with the password and returns the code that the gateway then mails."""
        address = user.email or ""
        before = len(codes_to(self.mail, address))
        await self.at_code_page(user, browser)
        return await code_for(self.mail, address, before + 1)

    async def mailed_first(self, user: User, browser: Person) -> str:
        """The first sign-in, with e-mail as the factor, up to the code that the gateway then mails."""
        address = user.email or ""
        before = len(codes_to(self.mail, address))
        browser.csrf = ""
        assert (await browser.password(user.username, user.password)).step == "register"
        await browser.do("register", factor="email")
        assert (await browser.do("register", address=address)).step == "confirm"
        assert (await browser.do("confirm", "send")).step == "verify"
        return await code_for(self.mail, address, before + 1)

    async def enrol_mail(self, user: User, browser: Person) -> None:
        """The whole first sign-in, with e-mail as the factor."""
        code = await self.mailed_first(user, browser)
        assert (await browser.do("verify", code=code)).step == "backup-codes"
        assert (await browser.do("backup-codes")).step == "done"

    async def enrol_app(self, user: User, browser: Person) -> tuple[Phone, list[str]]:
        """The whole first sign-in, with an app as the factor; the app and the backup codes."""
        assert (await browser.password(user.username, user.password)).step == "register"
        shown = await browser.do("register", factor="totp")
        phone = Phone(shown.body["secret"], SystemClock())
        codes = await browser.do("register", code=phone.code())
        assert codes.step == "backup-codes", codes.body
        assert (await browser.do("backup-codes")).step == "done"
        return phone, list(codes.body["codes"])


@dataclass(frozen=True)
class AppUser:
    """A user with an app, and their backup codes."""

    user: User
    phone: Phone
    backup_codes: list[str]


@dataclass(frozen=True)
class Waiting:
    """A login under way: the browser shows a page that accepts a code."""

    user: User
    browser: Person
    code: str

    async def still_waits(self) -> bool:
        """Returns whether the login still waits for the code, for example after a rejected form."""
        self.browser.csrf = ""
        return (await self.browser.look()).step == "verify"


@dataclass(frozen=True)
class Before:
    """The users and browsers at the previous version."""

    mail_user: User
    signed_in: Person
    open_password_page: Person
    app_user: AppUser
    trusting: AppUser
    trusted: Person
    used_app_code: str
    locked: AppUser
    waiting: Waiting
    waiting_to_enrol: Waiting
    waiting_for_app: Person
    admin_code: str


@dataclass(frozen=True)
class After:
    """This version, running with the data of the previous one."""

    shared: SharedParts
    before: Before
    previous: Version
    log: Path

    def said(self, *events: str) -> list[dict[str, str]]:
        """Returns the lines of these events in this version's log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") in events]


async def app_user(shared: SharedParts) -> AppUser:
    """Returns a user who enrolled an app and signed out."""
    user, browser = await shared.user(), await shared.browser()
    phone, codes = await shared.enrol_app(user, browser)
    await browser.logout()
    return AppUser(user, phone, codes)


async def waiting(shared: SharedParts) -> Waiting:
    """Returns an enrolled user whose browser shows the page for the mailed code."""
    user, browser = await shared.user(), await shared.browser()
    await shared.enrol_mail(user, await shared.browser())
    code = await shared.mailed(user, browser)
    assert 'name="code"' in await browser.page("/-/login/verify")
    return Waiting(user, browser, code)


async def waiting_to_enrol(shared: SharedParts) -> Waiting:
    """Returns a new user whose browser shows the page for the code that proves their address."""
    user, browser = await shared.user(), await shared.browser()
    code = await shared.mailed_first(user, browser)
    assert 'name="code"' in await browser.page("/-/login/verify")
    return Waiting(user, browser, code)


async def use(shared: SharedParts, version: Version) -> Before:
    """Does everything that the users do at the previous version."""
    mail_user, signed_in = await shared.user(), await shared.browser()
    await shared.enrol_mail(mail_user, signed_in)
    assert (await signed_in.get(APP)).status == 200
    open_password_page = await shared.browser()
    await open_password_page.page()

    with_app, locked, trusting = [await app_user(shared) for _ in range(3)]
    browser = await shared.at_code_page(locked.user)
    reported = [await browser.do("verify", code=locked.phone.wrong()) for _ in range(5)]
    assert reported[-1].problem == "locked"

    assert (await shared.enter(trusting.user, trusting.backup_codes[0])).step == "done"
    under_way, to_enrol = await waiting(shared), await waiting_to_enrol(shared)
    for_app = await shared.at_code_page(with_app.user)
    admin_code = await shared.admin_code(version, mail_user)

    # Last, and with the code of the next 30 seconds: its time is over in a minute at the earliest.
    trusted = await shared.at_code_page(trusting.user)
    used = trusting.phone.code(steps=1)
    assert (await trusted.do("verify", code=used, remember="yes")).step == "done"
    return Before(
        mail_user=mail_user,
        signed_in=signed_in,
        open_password_page=open_password_page,
        app_user=with_app,
        trusting=trusting,
        trusted=trusted,
        used_app_code=used,
        locked=locked,
        waiting=under_way,
        waiting_to_enrol=to_enrol,
        waiting_for_app=for_app,
        admin_code=admin_code,
    )


@pytest.fixture(scope="session")  # as Keycloak's: without the files the tests are skipped before Keycloak starts
def previous(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Yields the previous version's files, outside of the repository."""
    return take(tmp_path_factory.mktemp("previous"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def after(
    previous: Version, keycloak: Keycloak, redis_server: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[After]:
    """Runs the previous version with its users, then this version in its place."""
    store = f"redis://127.0.0.1:{redis_server}/0"
    await redis.empty(store)
    mail, app = MailServer(free_port()), EchoUpstream(free_port())
    path = tmp_path_factory.mktemp("config")
    async with AsyncExitStack() as stack:
        for server in (mail, app):
            await server.start()
            stack.push_async_callback(server.stop)
        settings = folder(path, keycloak=keycloak, mail=mail, app=app.url, store=store)
        settings.gateway["shutdown_timeout"] = 4  # a quarter of it passes before the port closes
        settings.tenant["tenantSettings"]["twoFAConfigs"] = {
            **CLOUDCX,
            "enrolment": "required",
            "trustBrowserDays": 14,
            "resendCooldown": 0,  # a login that begins again needs its new code at once
        }
        settings.write()
        shared = SharedParts(settings, keycloak, mail, await stack.enter_async_context(AsyncExitStack()))
        await previous.run("keys", "new", config=settings.file)
        async with previous.serving(settings.file, path / "previous.log"):
            before = await use(shared, previous)
        log = path / "this.log"
        async with THIS.serving(settings.file, log):
            yield After(shared, before, previous, log)


async def has_session(browser: Person) -> bool:
    """Returns whether the app opens in this browser; without a session the gateway redirects to the login."""
    answer = await browser.get(APP)
    assert answer.status in (200, 303), await answer.text()
    return answer.status == 200


# ------------------------------------------------------------------ codes that expire soon: these tests come first


async def test_a_used_app_code_is_rejected(after: After) -> None:
    again = await after.shared.enter(after.before.trusting.user, after.before.used_app_code)
    assert (again.status, again.step, again.problem) == (422, "verify", "next-code")


async def test_a_wrong_code_gives_a_login_begun_before_the_upgrade_no_session(after: After) -> None:
    browser = after.before.waiting_for_app
    await browser.submit("verify", code=after.before.app_user.phone.wrong())
    assert not await has_session(browser)


async def test_a_login_begun_before_the_upgrade_finishes_with_its_code_or_begins_again(after: After) -> None:
    shared, waiting = after.shared, after.before.waiting
    await waiting.browser.submit("verify", code=waiting.code)
    if not waiting.browser.cookie(SESSION):
        code = waiting.code if await waiting.still_waits() else await shared.mailed(waiting.user, waiting.browser)
        await waiting.browser.do("verify", code=code)
    assert await has_session(waiting.browser)


async def test_an_enrolment_begun_before_the_upgrade_finishes_with_its_code_or_begins_again(after: After) -> None:
    shared, waiting = after.shared, after.before.waiting_to_enrol
    shown = await waiting.browser.submit("verify", code=waiting.code)
    if not listed(await shown.text()):
        code = waiting.code if await waiting.still_waits() else await shared.mailed_first(waiting.user, waiting.browser)
        await waiting.browser.do("verify", code=code)
    await waiting.browser.do("backup-codes")
    assert await has_session(waiting.browser)


# ------------------------------------------------------------------ sessions, trust and locks


async def test_a_session_still_opens_the_app(after: After) -> None:
    assert await has_session(after.before.signed_in)


async def test_a_trusted_browser_still_skips_the_factor(after: After) -> None:
    browser, user = after.before.trusted, after.before.trusting.user
    await browser.logout()
    browser.csrf = ""
    assert (await browser.password(user.username, user.password)).step == "done"


async def test_another_browser_of_the_trusting_user_needs_a_code(after: After) -> None:
    browser = await after.shared.at_code_page(after.before.trusting.user)
    assert not await has_session(browser)


async def test_a_locked_user_is_still_locked(after: After) -> None:
    locked, browser = after.before.locked, await after.shared.browser()
    reported = await browser.password(locked.user.username, locked.user.password)
    assert (reported.status, reported.step, reported.problem) == (429, "verify", "locked")


async def test_the_correct_code_of_a_locked_user_is_rejected(after: After) -> None:
    locked, browser = after.before.locked, await after.shared.browser()
    await browser.password(locked.user.username, locked.user.password)
    reported = await browser.do("verify", code=locked.phone.code(steps=1))
    assert (reported.status, reported.problem) == (429, "locked")


# ------------------------------------------------------------------ enrolments and codes


async def test_a_used_backup_code_is_rejected(after: After) -> None:
    trusting = after.before.trusting
    again = await after.shared.enter(trusting.user, trusting.backup_codes[0])
    assert (again.status, again.step, again.problem) == (422, "verify", "wrong-code")


async def test_an_unused_backup_code_signs_in(after: After) -> None:
    trusting = after.before.trusting
    assert (await after.shared.enter(trusting.user, trusting.backup_codes[1])).step == "done"


async def test_a_user_with_an_address_signs_in_with_the_mailed_code(after: After) -> None:
    browser, user = await after.shared.browser(), after.before.waiting.user
    code = await after.shared.mailed(user, browser)
    assert (await browser.do("verify", code=code)).step == "done"


async def test_a_user_with_an_app_signs_in_with_its_code(after: After) -> None:
    one = after.before.app_user
    assert (await after.shared.enter(one.user, one.phone.code(steps=1))).step == "done"


async def test_an_open_password_page_accepts_the_password(after: After) -> None:
    browser, user = after.before.open_password_page, after.before.app_user.user
    answer = await browser.submit("password", username=user.username, password=user.password)
    assert (answer.status, URL(answer.headers.get("Location", "")).path) == (303, "/-/login/verify")


# ------------------------------------------------------------------ settings files and commands


async def test_the_settings_files_and_the_key_ring_are_valid_for_this_version(after: After) -> None:
    operations = after.shared.settings.gateway["operations"]
    async with ClientSession() as probe, probe.get(f"http://{operations}/health/ready") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ready")


async def test_an_administrators_code_made_before_the_upgrade_signs_in(after: After) -> None:
    assert (await after.shared.enter(after.before.mail_user, after.before.admin_code)).step == "done"


async def test_the_previous_versions_user_code_command_line_works_in_this_version(after: After) -> None:
    user = after.before.trusting.user
    assert (await after.shared.enter(user, await after.shared.admin_code(THIS, user))).step == "done"


# ------------------------------------------------------------------ what ran, and what it said


async def test_only_an_unfinished_login_may_be_unreadable_among_the_stored_records(after: After) -> None:
    lines = after.said("record_unopenable", "record_of_another_schema")
    assert {line["record"] for line in lines} <= {"login"}


async def test_the_previous_version_is_imported_from_the_files_of_its_commit(after: After) -> None:
    assert await after.previous.package() == after.previous.tree / "gateway"


async def test_the_previous_process_ran_the_files_of_the_previous_version(after: After) -> None:
    # Only `serve` imports this module, so only that process can have written its byte code there.
    assert list(after.previous.tree.glob("gateway/cli/__pycache__/serve.*.pyc"))


async def test_this_version_is_imported_from_this_tree(after: After) -> None:
    assert await THIS.package() == ROOT / "gateway"
