"""Which proof does a login owe now, in the words of `second_factor`?

Turns a login and a visit into the `Case` and `About` that challenges take, so that sending, answering and showing
speak of the same proof.
"""

from dataclasses import dataclass

from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Chance, Clock
from gateway.login import machine
from gateway.login.machine import Login
from gateway.login.visit import Visit
from gateway.second_factor.challenges import Case
from gateway.second_factor.factor import About

SEND_TIMEOUT = 20.0
"""Seconds after which a send that said nothing may be claimed by another request."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """Makes cases of logins."""

    clock: Clock
    chance: Chance

    def case(self, visit: Visit, login: Login) -> Case | None:
        """The case of the proof that is pending; None when none is."""
        wanted = machine.method(login)
        if wanted is None or login.user is None:
            return None
        factor, address, secret = wanted
        return Case(
            policy=login.policy,
            limits=visit.configuration.gateway.limits,
            user=login.user,
            login=login.id,
            round=login.round,
            app=login.app,
            client=visit.client,
            enrolment=Enrolment(factor, address, secret),
            registering=machine.registering(login) is not None,
        )

    def about(self, visit: Visit, login: Login, factor: FactorKind) -> About:
        """The circumstances of that proof. Raises `Misconfigured` when the policy's channel is gone."""
        method = login.policy.method(factor)
        channel = visit.configuration.channels.get(method.channel) if method and method.channel else None
        if method and method.channel and channel is None:
            raise Misconfigured("channels", f"{method.channel} is no longer configured")
        return About(
            tenant=visit.tenant,
            channel=channel,
            digits=login.policy.otp_length,
            expiry=login.policy.otp_expiry,
            language=visit.language,
            host=visit.host,
            browser=visit.browser,
            reference=visit.reference,
            now=self.clock.now(),
            chance=self.chance,
        )
