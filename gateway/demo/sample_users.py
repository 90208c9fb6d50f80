"""The sample users of the demo's tenants: names, passwords, roles, and the factors that they have enrolled.

Their passwords are made up and public.
"""

import base64
from dataclasses import dataclass

from gateway.demo.identity_provider import StandInUser
from gateway.demo.tenants import DemoTenant
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Random
from gateway.second_factor.factors import backup_code, table
from gateway.second_factor.factors.totp import SECRET_BYTES

NUMBERS_OF = "US"
"""The country of the users' numbers, which are numbers for films (555-0100 to 555-0199)."""
_NUMBERS = {name: f"+1 202-555-01{n:02}" for n, name in enumerate(("anna", "ben", "sara", "adam", "dora"))}


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """One user of one tenant; `enrolments` and `backup_codes` are there from the start."""

    user: StandInUser
    about: str
    enrolments: tuple[Enrolment, ...] = ()
    backup_codes: tuple[str, ...] = ()


def people(tenant: DemoTenant, random: Random) -> tuple[DemoPerson, ...]:
    """The users of one tenant."""

    def user(username: str, name: str, role: str, *, enabled: bool = True) -> StandInUser:
        first, _, last = name.partition(" ")
        return StandInUser(
            username=username,
            password=f"{username}-demo",
            email=tenant.address(username),
            first_name=first,
            last_name=last,
            roles=(role,),
            enabled=enabled,
            attributes={"phoneNumber": [_NUMBERS[username]]},
        )

    def enrolment(factor: FactorKind) -> Enrolment:
        if factor is FactorKind.SMS:
            return Enrolment(factor, address=_NUMBERS["ben"].replace(" ", "").replace("-", ""))
        if factor in table.SENT:
            return Enrolment(factor, address=tenant.address("ben"))
        return Enrolment(factor, secret=base64.b32encode(random.token_bytes(SECRET_BYTES)).decode())

    return (
        DemoPerson(user("anna", "Anna Lindqvist", "agent"), "agent, not set up yet"),
        DemoPerson(
            user("ben", "Ben Carter", "agent"),
            "agent, already set up",
            tuple(enrolment(factor) for factor in tenant.registered),
            backup_code.make(tenant.backup_codes, random),
        ),
        DemoPerson(user("sara", "Sara Malik", "supervisor"), "supervisor"),
        DemoPerson(user("adam", "Adam Novak", "admin"), "administrator"),
        DemoPerson(user("dora", "Dora Quinn", "agent", enabled=False), "agent, disabled"),
    )
