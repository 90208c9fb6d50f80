"""Mail at shift start (GW-34): 2,000 people, a relay that takes 30 mails a minute and cuts one connection in ten."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from gateway.delivery.mail import Mailer
from gateway.domain.channel import MailSecurity, Relay
from tests.journeys.second.shift import MINUTE, CountingRelay, Shift
from tests.login.desk import PACED, desk

PEOPLE = 2000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Twenty thousand lines of log help nobody."""
    structlog.configure(processors=[_nothing])
    yield
    structlog.reset_defaults()


def _nothing(_logger: object, _name: str, _event: structlog.types.EventDict) -> structlog.types.EventDict:
    raise structlog.DropEvent


@pytest.mark.slow
@pytest.mark.row("GW-34")
@pytest.mark.timeout(300)
async def test_two_thousand_people_at_thirty_mails_a_minute_all_get_in_and_nobody_gets_two_codes() -> None:
    of = desk()
    relay = CountingRelay(of.clock)
    channel = replace(PACED, relays=(Relay("127.0.0.1", relay.port, MailSecurity.NONE),))
    mailer = Mailer(of.clock, of.bench.chance)
    of.bench.mailer = mailer
    of.bench.use(of.bench.store)
    shift = Shift(type(of)(of.bench, channel), relay)
    for n in range(PEOPLE):
        shift.arrives(f"agent{n}", after=n * 300 / PEOPLE)
    async with relay.listening():
        await shift.run()
        await mailer.close()

    people = shift.people
    problems = sum((p.problems for p in people), Counter())
    assert all(person.done for person in people)
    assert sum(person.problems["queued"] > 0 for person in people) > PEOPLE * 0.9
    assert set(problems) <= {"queued", "send-failed"}  # no code expired, sent or unsent; nobody met a limit
    mails = Counter(to for _, to, _ in relay.taken)
    assert len(mails) == PEOPLE
    assert max(mails.values()) == 1
    assert relay.refused == 0
    assert relay.cuts.total() > PEOPLE / 20
    assert max(person.done - person.begun for person in people) < PEOPLE / 30 * 1.15 * MINUTE
    assert all((p.browser.login.tokens.refresh_expires_at or 0) > p.done for p in people if p.browser.login.tokens)
