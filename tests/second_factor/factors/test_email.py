"""Tests of the factor `email`, with a real SMTP server."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.delivery.smtp import Mailer, NotSent, Sent
from gateway.domain.challenge import Accepted, Asked, Draft, Rejected, Unavailable
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.tenant import Branding, Tenant
from gateway.domain.user import User
from gateway.login.account_change_mails import Change
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails, MailText
from gateway.rendering.templates import build_environments
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.message_code import PURPOSE
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from tests.fixtures.clock import START, FakeClock, SeededRandom
from tests.fixtures.mail import MailServer
from tests.fixtures.sample_tenants import tenant

ANNA = User("u1", "anna")
ENROLMENT = Enrolment(FactorKind.EMAIL, "anna@cc.example")


class PlainMails(Mails):
    """Renders the values without templates, so that a test can read them."""

    def __init__(self) -> None:
        pass

    def render(self, name: str, language: str, tenant: Tenant, **context: Any) -> MailText:
        lines = "\n".join(f"{key}={value}" for key, value in context.items())
        return MailText(f"{name} for {tenant.branding.name}", lines, "<pre>html</pre>", language)


@pytest.fixture
async def factor(clock: FakeClock, random: SeededRandom) -> AsyncIterator[Factor]:
    """Returns the factor with a real mailer."""
    mailer = Mailer(clock, random)
    yield email_factor(mailer)
    await mailer.close()


def email_factor(mailer: Mailer) -> EmailFactor:
    """Returns the factor with `mailer`."""
    return EmailFactor(
        mailer=mailer, mails=PlainMails(), signer=Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE)
    )


def about(server: MailServer | None, random: SeededRandom, **changes: Any) -> DeliveryContext:
    """Returns the circumstances of a challenge whose channel is `server`."""
    relays = (Relay("127.0.0.1", server.port, MailSecurity.NONE),) if server else ()
    channel = Channel("otp", ChannelType.EMAIL, ChannelKind.SMTP, "otp@cc.example", relays=relays)
    values: dict[str, Any] = {
        "tenant": tenant(),
        "channel": channel,
        "digits": 6,
        "expiry": 120,
        "language": "en",
        "host": "cc.example",
        "browser": "Firefox on Linux",
        "reference": "ABCD2345",
        "now": START,
        "random": random,
        "tag": "K7",
        "challenge": "c1",
    }
    return DeliveryContext(**{**values, **changes})


def code_in(text: str) -> str:
    """Returns the code of a mail."""
    found = re.search(r"^code=(\d+)", text, re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.row("EF-11")
async def test_a_typed_address_becomes_a_draft_in_the_spelling_used_for_delivery(
    factor: Factor, random: SeededRandom
) -> None:
    draft = await factor.enrol(ANNA, " Anna@CC.example ", about(None, random))
    assert draft == Draft(FactorKind.EMAIL, address="Anna@cc.example")


@pytest.mark.parametrize("given", ["", "anna", "a@b, c@d", "anna@cc.example\r\nBcc: x@y.example", "\x00@cc.example"])
async def test_an_entry_that_is_not_one_address_is_refused(factor: Factor, random: SeededRandom, given: str) -> None:
    assert await factor.enrol(ANNA, given, about(None, random)) == Rejected(Problem.BAD_ADDRESS)


@pytest.mark.row("EF-11")
async def test_the_mailed_code_is_accepted_and_was_sent_only_to_the_enrolled_address(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    circumstances = about(mail_server, random)
    asked = await factor.challenge(ANNA, ENROLMENT, circumstances)
    assert isinstance(asked, Asked)
    received = await mail_server.wait()
    assert received.rcpt_tos == ("anna@cc.example",)
    code = code_in(received.text)
    assert await factor.verify(asked.state, ANNA, ENROLMENT, circumstances, code) == Accepted("c1")
    assert code not in asked.state


async def test_a_code_whose_mail_a_relay_took_without_an_answer_counts_as_sent(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    mail_server.switches.drop = "data"
    assert isinstance(await factor.challenge(ANNA, ENROLMENT, about(mail_server, random)), Asked)


async def test_the_mail_names_host_browser_tag_and_reference_and_the_subject_has_no_code(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    await factor.challenge(ANNA, ENROLMENT, about(mail_server, random))
    received = await mail_server.wait()
    for said in ("host=cc.example", "browser=Firefox on Linux", "tag=K7", "reference=ABCD2345", "expires_in=120"):
        assert said in received.text
    assert code_in(received.text) not in received.subject
    assert code_in(received.text) not in str(received.parsed.items())


@pytest.mark.parametrize(("own", "named"), [("", "Northwind"), ("Service desk", "Service desk")])
async def test_the_sender_has_the_name_of_the_channel_or_else_of_the_tenant(
    factor: Factor, random: SeededRandom, mail_server: MailServer, own: str, named: str
) -> None:
    usual = about(mail_server, random, tenant=tenant(branding=Branding(name="Northwind")))
    assert usual.channel is not None
    await factor.challenge(ANNA, ENROLMENT, replace(usual, channel=replace(usual.channel, sender_name=own)))
    assert (await mail_server.wait()).parsed["From"] == f"{named} <otp@cc.example>"


async def test_the_code_mail_has_the_subject_that_the_channel_sets(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    usual = about(mail_server, random)
    assert usual.channel is not None
    await factor.challenge(ANNA, ENROLMENT, replace(usual, channel=replace(usual.channel, subject="Your sign-in code")))
    assert (await mail_server.wait()).subject == "Your sign-in code"


@pytest.mark.row("GW-34")
async def test_the_lifetime_of_a_code_begins_when_the_relay_accepts_the_mail(
    factor: Factor, random: SeededRandom, clock: FakeClock, mail_server: MailServer
) -> None:
    clock.advance(7)  # the relay is slow: it accepts the mail seven seconds after the challenge began
    asked = await factor.challenge(ANNA, ENROLMENT, about(mail_server, random, now=START))
    assert isinstance(asked, Asked)
    assert asked.expires_at == START + 7 + 120


async def test_a_mail_refused_by_every_relay_is_unavailable_and_does_not_disclose_whether_the_address_exists(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    mail_server.switches.refuse_recipient = "550 5.1.1 <anna@cc.example>: user unknown"
    asked = await factor.challenge(ANNA, ENROLMENT, about(mail_server, random))
    assert isinstance(asked, Unavailable)
    assert asked.problem is Problem.SEND_FAILED
    assert "anna@" not in asked.reason


async def test_an_enrolment_with_an_invalid_address_sends_nothing(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    odd = Enrolment(FactorKind.EMAIL, "anna@cc.example, eve@evil.example")
    assert isinstance(await factor.challenge(ANNA, odd, about(mail_server, random)), Unavailable)
    assert mail_server.messages == []


async def test_without_a_channel_no_mail_is_sent(factor: Factor, random: SeededRandom) -> None:
    assert isinstance(await factor.challenge(ANNA, ENROLMENT, about(None, random, channel=None)), Unavailable)


async def test_an_unusual_tenant_name_breaks_no_header(
    factor: Factor, random: SeededRandom, mail_server: MailServer
) -> None:
    odd = tenant(branding=Branding(name="A\r\nBcc: eve@evil.example"))
    asked = await factor.challenge(ANNA, ENROLMENT, about(mail_server, random, tenant=odd))
    assert isinstance(asked, Unavailable)
    assert mail_server.messages == []


@pytest.mark.row("EF-11")
async def test_the_mail_to_the_profile_address_does_not_show_the_newly_enrolled_address(
    clock: FakeClock, random: SeededRandom, mail_server: MailServer
) -> None:
    mailer = Mailer(clock, random)
    reported = await email_factor(mailer).announce(
        ANNA,
        about(mail_server, random),
        to="profile@cc.example",
        change="enrolled",
        factor_label="Code by email",
        address="anna@cc.example",
    )
    await mailer.close()
    assert isinstance(reported, Sent)
    received = await mail_server.wait()
    assert received.rcpt_tos == ("profile@cc.example",)
    assert "sent_to=a***@c***.example" in received.text
    assert "anna@cc.example" not in received.raw.decode()


@pytest.mark.row("GW-45")
@pytest.mark.parametrize(
    ("change", "factor", "said"),
    [
        (Change.ENROLLED, "Authenticator app", "A new sign-in method was added"),
        (Change.TURNED_OFF, "Authenticator app", "A sign-in method was turned off"),
        (Change.NEW_CODES, "", "New backup codes were made"),
    ],
    ids=lambda value: value.value if isinstance(value, Change) else "",
)
async def test_each_account_change_has_a_separate_mail_to_one_address_that_names_the_browser(
    clock: FakeClock, random: SeededRandom, mail_server: MailServer, change: Change, factor: str, said: str
) -> None:
    mailer, languages = Mailer(clock, random), load_languages(data_root() / "locales", ("en",))
    real = EmailFactor(
        mailer=mailer,
        mails=Mails(build_environments(data_root(), languages), languages),
        signer=Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE),
    )
    reported = await real.announce(
        ANNA, about(mail_server, random), to="profile@cc.example", change=change.value, factor_label=factor, address=""
    )
    await mailer.close()
    assert isinstance(reported, Sent)
    received = await mail_server.wait()
    assert received.rcpt_tos == ("profile@cc.example",)
    for part in (said, factor, "Firefox on Linux", "cc.example", "ABCD2345", "tell your administrator at once"):
        assert part in received.text
    assert not re.search(r"(?m)^\s*\d{4,10}\s*$", received.text)  # nothing that looks like a code


async def test_a_failed_account_change_mail_is_returned_as_a_value(random: SeededRandom, clock: FakeClock) -> None:
    mailer = Mailer(clock, random)
    told: Any = {"to": "p@cc.example", "change": "turned-off", "factor_label": "x", "address": ""}
    assert isinstance(await email_factor(mailer).announce(ANNA, about(None, random), **told), NotSent)
