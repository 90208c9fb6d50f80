"""The content of a user's own page: each method of the tenant, on or off, and the backup codes left."""

from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.session import Session
from gateway.observe.redaction import address_hint
from gateway.rendering.languages import Language
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import is_managed, may_turn_off


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method: whether it is on, for which address (masked), and whether it may be turned off.

    `managed`: every user has it, and a service manages it.
    """

    factor: str
    label: str
    icon: str
    on: bool
    sent_to: str = ""
    may_turn_off: bool = False
    managed: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """The page.

    `suggests` when nothing is on though a method could be; `codes_left` None: none are kept; `codes_used` when
    there were some and none is left; `last_stays` when the only method on cannot be turned off, because the tenant
    requires one.
    """

    username: str
    enabled: bool
    methods: tuple[MethodRow, ...]
    codes_left: int | None
    codes_used: bool
    suggests: bool
    last_stays: bool


def overview(policy: Policy, session: Session, enrolments: EnrolmentSet, language: Language) -> Overview:
    """The page of this session's user."""
    rows = tuple(_row(policy, enrolments, method.factor, language) for method in policy.offered)
    any_on = any(row.on and not row.managed for row in rows)
    return Overview(
        username=session.display_name,
        enabled=policy.enabled,
        methods=rows,
        codes_left=len(enrolments.backup_codes) if policy.backup_codes and any_on else None,
        codes_used=enrolments.used_all_codes,
        suggests=policy.enabled and not any(row.on for row in rows),
        last_stays=any_on and not any(row.may_turn_off for row in rows),
    )


def _row(policy: Policy, enrolments: EnrolmentSet, factor: FactorKind, language: Language) -> MethodRow:
    found = enrolments.of(factor)
    managed = found is None and is_managed(policy, factor)
    return MethodRow(
        factor=factor.value,
        label=table.label(factor, language),
        icon=table.icon(factor),
        on=managed or found is not None,
        sent_to=address_hint(found.address, policy.address_hint) if found and found.address else "",
        may_turn_off=may_turn_off(policy, enrolments, factor) and not managed,
        managed=managed,
    )
