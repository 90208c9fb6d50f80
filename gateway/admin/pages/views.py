"""What the administration pages say of users. Pure: no secret, no code, and enrolled addresses masked."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.session import Satisfied, Session
from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.domain.user import Account, User
from gateway.observe.redaction import mask_address
from gateway.rendering.languages import Language
from gateway.second_factor.enrolments import Copies
from gateway.second_factor.factors import table
from gateway.second_factor.rate_limits import Limited

SIGNED_IN_BY = {
    Satisfied.PROVED: _("Password and code"),
    Satisfied.TRUSTED: _("Password, trusted browser"),
}
BY_PASSWORD = _("Password")
BY_ADMINISTRATOR = _("Code from an administrator")


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user in a list. `methods` are the names of their methods; `unreadable`: the gateway rejects what is stored."""

    id: str
    name: str
    username: str
    email: str
    enabled: bool
    methods: tuple[str, ...]
    unreadable: bool


@dataclass(frozen=True, slots=True)
class MethodRow:
    """An enrolled method: its masked address, and the day on which it was added, "" where that is unknown."""

    label: str
    icon: str
    address: str
    added: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """An open session. `here`: the administrator's own."""

    id: str
    began: str
    began_iso: str
    used: str
    used_iso: str
    how: str
    here: bool


@dataclass(frozen=True, slots=True)
class UserView:
    """One user. `locked_until` is "" where nothing is locked, `acts` are those that the page offers."""

    row: UserRow
    email_verified: bool
    phone: str
    methods: tuple[MethodRow, ...]
    codes_left: int
    finding: str
    locked: bool
    locked_until: str
    locked_iso: str
    sessions: tuple[SessionRow, ...]
    required_actions: tuple[str, ...]
    acts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of one user."""

    account: Account
    copies: Copies
    locks: tuple[Limited, ...]
    locked_by_keycloak: float | None
    sessions: tuple[Session, ...]
    own_session: str
    acts: frozenset[str]


def user_row(account: Account, copies: Copies, language: Language) -> UserRow:
    """A user in a list."""
    user, found = account.user, _accepted(copies)
    return UserRow(
        id=user.id,
        name=user.display_name,
        username=user.username,
        email=user.email,
        enabled=account.enabled,
        methods=tuple(table.label(one.factor, language) for one in found.enrolments),
        unreadable=copies.rejected is not None,
    )


def user_view(tenant: Tenant, facts: Facts, language: Language, now: float) -> UserView:
    """The page of one user."""
    account, found = facts.account, _accepted(facts.copies)
    until = max((*(held.until for held in facts.locks), facts.locked_by_keycloak or 0.0))
    methods = tuple(
        MethodRow(
            label=table.label(one.factor, language),
            icon=table.icon(one.factor),
            address=mask_address(one.address) if one.address else "",
            added=language.date(one.added_at) if one.added_at else "",
        )
        for one in found.enrolments
    )
    return UserView(
        row=user_row(account, facts.copies, language),
        email_verified=account.user.email_verified,
        phone=_phone(account.user, tenant, account),
        methods=methods,
        codes_left=len(found.backup_codes),
        finding=facts.copies.rejected.finding if facts.copies.rejected else "",
        locked=bool(facts.locks) or facts.locked_by_keycloak is not None,
        locked_until=language.time(until) if until > now else "",
        locked_iso=language.iso(until) if until > now else "",
        sessions=tuple(_sessions(facts, language)),
        required_actions=account.required_actions,
        acts=facts.acts,
    )


def _accepted(copies: Copies) -> EnrolmentSet:
    """The enrolments that count today."""
    return EnrolmentSet() if copies.rejected or not copies.keycloak else copies.keycloak


def _phone(user: User, tenant: Tenant, account: Account) -> str:
    return user.phone or next(iter(account.attributes.get(tenant.phone_numbers.attribute, ())), "")


def _sessions(facts: Facts, language: Language) -> Iterable[SessionRow]:
    """The newest first."""
    for one in reversed(facts.sessions):
        how = BY_ADMINISTRATOR if one.assisted else SIGNED_IN_BY.get(one.satisfied, BY_PASSWORD)
        yield SessionRow(
            id=one.id,
            began=language.date_and_time(one.created_at),
            began_iso=language.iso(one.created_at),
            used=language.date_and_time(one.used_at),
            used_iso=language.iso(one.used_at),
            how=language.gettext(how),
            here=one.id == facts.own_session,
        )
