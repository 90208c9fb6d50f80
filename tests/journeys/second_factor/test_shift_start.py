"""Mail at shift start: 2,000 users, and a relay that accepts 30 mails a minute and cuts one connection in ten."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from gateway.delivery.smtp import Mailer
from gateway.domain.channel import MailSecurity, Relay
from tests.fixtures.installation import folder
from tests.fixtures.login_harness import PACED, flow_harness
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person, code_for
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream
from tests.journeys.second_factor.shift_start_load import MINUTE, CountingRelay, ShiftStart

PEOPLE = 2000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Turns logging off, because twenty thousand lines would hide the failure."""
    structlog.configure(processors=[_nothing])
    yield
    structlog.reset_defaults()


def _nothing(_logger: object, _name: str, _event: structlog.types.EventDict) -> structlog.types.EventDict:
    raise structlog.DropEvent


@pytest.mark.slow
@pytest.mark.row("GW-34")
@pytest.mark.timeout(300)
async def test_2000_users_at_30_mails_a_minute_all_sign_in_with_one_code_each() -> None:
    of = flow_harness()
    relay = CountingRelay(of.clock)
    channel = replace(PACED, relays=(Relay("127.0.0.1", relay.port, MailSecurity.NONE),))
    mailer = Mailer(of.clock, of.bench.random)
    of.bench.mailer = mailer
    of.bench.use(of.bench.store)
    shift = ShiftStart(type(of)(of.bench, channel), relay)
    for n in range(PEOPLE):
        shift.arrives(f"agent{n}", after=n * 300 / PEOPLE)
    async with relay.listening():
        await shift.run()
        await mailer.close()

    people = shift.people
    problems = sum((p.problems for p in people), Counter())
    assert all(person.done for person in people)
    assert sum(person.problems["queued"] > 0 for person in people) > PEOPLE * 0.9
    assert set(problems) <= {"queued", "send-failed"}  # no code expired, sent or unsent; no user reached a limit
    mails = Counter(to for _, to, _ in relay.taken)
    assert len(mails) == PEOPLE
    assert max(mails.values()) == 1
    assert relay.refused == 0
    assert relay.cuts.total() > PEOPLE / 20
    # A user whose mail was lost in a relay that had it waits a second time, behind the others.
    assert all(person.done - person.begun < (1 + person.lost) * PEOPLE / 30 * 1.15 * MINUTE for person in people)
    assert sum(person.lost > 0 for person in people) < PEOPLE / 20
    assert all((p.browser.login.tokens.refresh_expires_at or 0) > p.done for p in people if p.browser.login.tokens)


@pytest.fixture
async def paced(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields a gateway whose relay accepts two mails a minute; Keycloak's clock follows the gateway's."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.gateway["channels"][0]["rate"] = 2
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        stand_in.realms[stand_in.server.realm].clock = site.clock
        yield site


async def waiting(site: Site, person: Person) -> Answer:
    """Lets `person` type an address and wait behind another user for the code."""
    async with site.person() as early:
        user = site.user()
        await early.to_code(user.username, user.password, "early@cc.example")
    user = site.user()
    return await person.to_code(user.username, user.password, "anna@cc.example")


@pytest.mark.row("GW-34")
async def test_a_program_reads_that_its_code_is_queued_and_the_waiting_time(paced: Site) -> None:
    async with paced.person() as anna:
        answer = await waiting(paced, anna)
        assert (answer.status, answer.step, answer.problem) == (202, "verify", "queued")
        assert 0 < answer.body["problem"]["retry_after"] <= 32
        assert answer.headers["Retry-After"] == str(answer.body["problem"]["retry_after"])
        assert answer.body["expires_in"] is None
        paced.clock.advance(answer.body["problem"]["retry_after"])
        answer = await anna.look()
        assert (answer.status, answer.problem) == (200, None)
        assert answer.body["expires_in"] == 120
        answer = await anna.do("verify", code=await code_for(paced.mail, "anna@cc.example"))
        assert answer.step == "done"


@pytest.mark.row("GW-34")
async def test_the_page_shows_the_queue_and_reloads_by_itself(paced: Site) -> None:
    async with paced.person() as anna:
        await waiting(paced, anna)
        page = await anna.get("/-/login/verify")
        text = await page.text()
        assert page.status == 200
        assert 0 < int(page.headers["Refresh"]) <= 33
        assert "Your code will be sent in" in text
        assert "Many people are signing in" in text
        assert 'value="resend"' not in text  # a request for it would change nothing
        paced.clock.advance(int(page.headers["Refresh"]))
        page = await anna.get("/-/login/verify")
        assert "Refresh" not in page.headers
        assert "We'll send your code in" not in await page.text()
        assert len(paced.mail.to("anna@cc.example")) == 1


@pytest.mark.row("GW-34")
async def test_a_form_that_leads_to_the_queue_redirects_to_the_queue_page(paced: Site) -> None:
    async with paced.person() as early, paced.person() as anna:
        first, second = paced.user(), paced.user()
        await early.to_code(first.username, first.password, "early@cc.example")
        await anna.password(second.username, second.password)
        await anna.do("register", address="anna@cc.example")
        answer = await anna.submit("confirm", "send")
        assert answer.status == 303
        assert "/login/verify" in answer.headers["Location"]


@pytest.mark.row("GW-34")
async def test_editing_the_address_keeps_the_place_in_the_queue(paced: Site) -> None:
    async with paced.person() as anna:
        left = (await waiting(paced, anna)).body["problem"]["retry_after"]
        assert (await anna.do("verify", "edit")).step == "register"
        await anna.do("register", address="other@cc.example")
        answer = await anna.do("confirm", "send")
        assert answer.body["problem"]["retry_after"] <= left
        paced.clock.advance(left)
        await anna.look()
        assert [m.rcpt_tos for m in paced.mail.messages[1:]] == [("other@cc.example",)]
