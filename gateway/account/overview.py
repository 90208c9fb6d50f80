"""The content of a user's own page: their methods, their backup codes, and where they are signed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.enrolment import BESIDE, EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.session import Session
from gateway.observe.redaction import address_hint
from gateway.rendering.languages import Language
from gateway.second_factor.factor_uses import name_of
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import is_managed, may_set_up, may_turn_off
from gateway.second_factor.trusted_browsers import KnownBrowser
from gateway.web.client_address import Network, client_network, place_of

ACTIVE = 300.0
"""Seconds after its last use for which a session counts as in use now; uses are stored less often than they happen."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method, or one of several apps.

    It says whether it is on, for which address (masked) or on which device (`name`), since when, when it was last used
    (None: it is not known), and whether it may be turned off. `target` names one of several apps in a form. `managed`:
    every user has it, and a service manages it.
    """

    factor: str
    label: str
    icon: str
    on: bool
    sent_to: str = ""
    may_turn_off: bool = False
    managed: bool = False
    name: str = ""
    target: str = ""
    added_at: float | None = None
    used_at: float | None = None


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """A session or a trusted browser: its browser, and the place and time of its sign-in or last use.

    `address` is that of the client, an IPv6 address as its /64; `place` is the operator's name for its network.
    """

    id: str
    browser: str
    icon: str
    address: str
    place: str
    since: float
    used_at: float
    current: bool
    active: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a user beside their enrolments: uses of factors, open sessions, trusted browsers.

    `trust_tag` is that of this browser's trust cookie, `networks` are the operator's names.
    """

    now: float = 0.0
    uses: Mapping[str, float] = field(default_factory=dict)
    sessions: Sequence[Session] = ()
    browsers: Sequence[KnownBrowser] = ()
    networks: Mapping[str, Sequence[Network]] = field(default_factory=dict)
    trust_tag: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The page.

    `suggests` when nothing is on though a method could be; `codes_left` None: none are kept; `codes_used` when
    there were some and none is left; `last_stays` when the only method on cannot be turned off, because the tenant
    requires one, though there are others. `may_add_app`: a further app may be set up.
    """

    username: str
    enabled: bool
    methods: tuple[MethodRow, ...]
    codes_left: int | None
    codes_used: bool
    codes_made: int
    suggests: bool
    last_stays: bool
    may_add_app: bool
    sessions: tuple[BrowserRow, ...]
    browsers: tuple[BrowserRow, ...]


def overview(
    policy: Policy, session: Session, enrolments: EnrolmentSet, language: Language, facts: Facts | None = None
) -> Overview:
    """The page of this session's user."""
    facts = facts or Facts()
    rows = tuple(
        row for method in policy.offered for row in _rows(policy, enrolments, method.factor, language, facts.uses)
    )
    any_on = any(row.on and not row.managed for row in rows)
    return Overview(
        username=session.display_name,
        enabled=policy.enabled,
        methods=rows,
        codes_left=len(enrolments.backup_codes) if policy.backup_codes and any_on else None,
        codes_used=enrolments.used_all_codes,
        codes_made=len(enrolments.backup_codes) + len(enrolments.used_codes),
        suggests=policy.enabled and not any(row.on for row in rows),
        last_stays=any_on and not any(row.may_turn_off for row in rows),
        may_add_app=FactorKind.TOTP in policy.by_factor and may_set_up(policy, enrolments, FactorKind.TOTP, BESIDE),
        sessions=tuple(
            _browser(facts, one, one.created_at, current=one.id == session.id)
            for one in sorted(facts.sessions, key=lambda one: (one.id != session.id, -one.used_at))
        ),
        browsers=tuple(
            _browser(facts, one, one.since, current=one.tag == facts.trust_tag)
            for one in sorted(facts.browsers, key=lambda one: (one.tag != facts.trust_tag, -one.used_at))
        ),
    )


def _rows(
    policy: Policy, enrolments: EnrolmentSet, factor: FactorKind, language: Language, uses: Mapping[str, float]
) -> tuple[MethodRow, ...]:
    """The row of a factor, or one for each of several apps."""
    found, managed = enrolments.all_of(factor), not enrolments.of(factor) and is_managed(policy, factor)
    off = MethodRow(factor.value, table.label(factor, language), table.icon(factor), on=managed, managed=managed)
    if not found:
        return (replace(off, used_at=uses.get(name_of(factor))),)
    return tuple(
        replace(
            off,
            on=True,
            sent_to=address_hint(one.address, policy.address_hint) if one.address else "",
            may_turn_off=may_turn_off(policy, enrolments, factor, one.id if len(found) > 1 else ""),
            name=one.name,
            target=one.id if len(found) > 1 else "",
            added_at=one.added_at or None,
            used_at=uses.get(name_of(factor, one.id if one.secret else "")),
        )
        for one in found
    )


def _browser(facts: Facts, of: Session | KnownBrowser, since: float, *, current: bool) -> BrowserRow:
    return BrowserRow(
        id=of.id,
        browser=of.browser,
        icon="phone" if of.browser.endswith(("iPhone", "iPad", "Android")) else "laptop",
        address=client_network(of.client) if of.client else "",
        place=place_of(of.client, facts.networks),
        since=since,
        used_at=of.used_at,
        current=current,
        active=facts.now - of.used_at < ACTIVE,
    )
