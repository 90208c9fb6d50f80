"""Tests of the mails about account changes: their recipients, and their order after codes."""

from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from gateway.crypto.key_ring import Signer
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.user import Contact
from gateway.login import account_change_mails
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change, recipients
from gateway.login.effects.send_code import ChallengeContexts
from gateway.observe.audit import Audit
from gateway.rendering.data_root import data_root
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environments
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.send_rate import SendRate
from tests.fixtures.event_scripts import begun
from tests.fixtures.login_harness import PACED, FlowHarness, flow_harness

ASK_AT_MOST = 60.0
PATIENCE = 7200.0

NEW = AccountChange(Change.ENROLLED, FactorKind.EMAIL, "new@example.com")
PROFILE = Contact(FactorKind.EMAIL, "profile@example.com", verified=True)


@dataclass
class AccountChangeHarness:
    """Account change mails whose waiting advances the clock."""

    flow_harness: FlowHarness
    reported: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)

    def __post_init__(self) -> None:
        bench = self.flow_harness.bench
        email = EmailFactor(
            mailer=bench.mailer,
            mails=Mails(build_environments(data_root(), bench.languages), bench.languages),
            signer=Signer(bench.ring, "codes"),
        )
        self.announcing = AccountChangeMails(
            email,
            bench.languages,
            ChallengeContexts(bench.clock, bench.random),
            SendRate(bench.store, bench.clock),
            bench.clock,
            self.tasks,
            wait=self.wait,
        )

    async def wait(self, seconds: float) -> None:
        """Advances the clock."""
        self.waits.append(seconds)
        self.flow_harness.clock.advance(seconds)

    async def tell(self, times: int = 1) -> None:
        """Makes that number of account changes and waits for their mails."""
        anna = self.flow_harness.browser("anna")
        await anna.password()
        login = replace(anna.login, contacts=(PROFILE,))
        request = replace(
            anna.visit, audit=replace(anna.visit.audit, audit=Audit(self.flow_harness.clock, tell=self.reported.append))
        )
        for _ in range(times):
            await self.announcing.notify(request, login, NEW)
        await self.tasks.close(30)

    @property
    def mails(self) -> int:
        """Returns the number of sent account change mails."""
        return sum(message.to == PROFILE.address for message in self.flow_harness.bench.mails.messages)


async def crowd(of: FlowHarness, count: int) -> None:
    """Lets that number of users wait for codes."""
    for n in range(count):
        await of.browser(f"early{n}").password()


@pytest.mark.row("GW-34")
async def test_an_account_change_mail_is_sent_at_once_when_no_user_waits_for_a_code() -> None:
    stage = AccountChangeHarness(flow_harness())
    await stage.tell()
    assert (stage.mails, stage.waits) == (1, [])
    assert "account_change_mailed" in stage.reported[0]


@pytest.mark.row("GW-34")
async def test_an_account_change_mail_is_sent_after_all_waiting_codes() -> None:
    stage = AccountChangeHarness(flow_harness())
    await crowd(stage.flow_harness, 100)
    began = stage.flow_harness.clock.now()
    await stage.tell()
    assert stage.mails == 1
    assert stage.flow_harness.clock.now() - began > 100 / 30 * 60 * 0.9
    assert max(stage.waits) <= ASK_AT_MOST


@pytest.mark.row("GW-34")
async def test_many_account_change_mails_keep_to_the_send_rate() -> None:
    stage = AccountChangeHarness(flow_harness())
    began = stage.flow_harness.clock.now()
    await stage.tell(40)
    assert stage.mails == 40
    assert stage.flow_harness.clock.now() - began > 60


@pytest.mark.row("GW-34")
async def test_an_account_change_mail_without_a_slot_for_hours_is_dropped() -> None:
    stage = AccountChangeHarness(flow_harness(replace(PACED, rate_per_minute=1)))
    await crowd(stage.flow_harness, int(PATIENCE / 60) + 10)
    await stage.tell()
    assert stage.mails == 0
    assert stage.reported == []


@pytest.mark.row("GW-34")
async def test_an_account_change_mail_refused_by_every_relay_is_not_audited_as_sent() -> None:
    stage = AccountChangeHarness(flow_harness())
    stage.flow_harness.bench.mails.refuses = "451 later"
    await stage.tell()
    assert not any("account_change_mailed" in line for line in stage.reported)


async def test_of_many_account_change_mails_that_wait_at_a_time_the_rest_is_logged_and_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(account_change_mails, "MOST", 3)
    stage = AccountChangeHarness(flow_harness())
    with capture_logs() as logs:
        await stage.tell(5)
    assert stage.mails == 3
    assert [line["why"] for line in logs if line["event"] == "account_change_not_mailed"] == ["too many wait"] * 2
    await stage.tell(2)
    assert stage.mails == 5


# ------------------------------------------------------------------ to which addresses

MAILBOX = Enrolment(FactorKind.EMAIL, "Box@example.com")
UNVERIFIED = Contact(FactorKind.EMAIL, "unverified@example.com", verified=False)
OFF = AccountChange(Change.TURNED_OFF, FactorKind.EMAIL)


def reported(change: AccountChange, before: EnrolmentSet, *contacts: Contact) -> tuple[str, ...]:
    return recipients(replace(begun(), contacts=contacts, enrolments=before), change)


@pytest.mark.row("GW-45")
def test_a_change_is_announced_to_the_profile_address_and_to_every_enrolled_address() -> None:
    assert reported(OFF, EnrolmentSet(1, (MAILBOX,)), PROFILE) == (PROFILE.address, MAILBOX.address)


@pytest.mark.row("GW-45")
def test_an_unverified_address_receives_no_account_change_mail() -> None:
    assert reported(OFF, EnrolmentSet(), UNVERIFIED) == ()


@pytest.mark.row("GW-45", "EF-11")
def test_a_newly_enrolled_address_receives_no_mail_of_its_enrolment() -> None:
    new = AccountChange(Change.ENROLLED, FactorKind.EMAIL, MAILBOX.address.lower())
    assert reported(new, EnrolmentSet(1, (MAILBOX,)), PROFILE) == (PROFILE.address,)


@pytest.mark.row("GW-45")
def test_each_address_receives_one_account_change_mail() -> None:
    same = replace(PROFILE, address=MAILBOX.address.lower())
    assert len(reported(OFF, EnrolmentSet(1, (MAILBOX,)), same)) == 1
