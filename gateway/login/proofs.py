"""Which proof does a login owe now, in the words of `second_factor`?

Turns a login and a visit into the `Case` and `About` that challenges take, so that sending, answering and showing
speak of the same proof.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.errors import Misconfigured
from gateway.domain.policy import MESSAGE_FACTORS, FactorKind, SharedAddress
from gateway.domain.ports import Chance, Clock
from gateway.login import aims
from gateway.login.record import Login
from gateway.login.visit import Visit
from gateway.second_factor.challenges import Case
from gateway.second_factor.factor import About

SEND_TIMEOUT = 20.0
"""Seconds after which a send that said nothing may be claimed by another request."""
TAG_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TAG_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Proofs:
    """Makes cases of logins."""

    clock: Clock
    chance: Chance

    def case(self, visit: Visit, login: Login) -> Case | None:
        """The case of the proof that is pending; None when none is."""
        methods, extras = aims.methods(login), aims.extras(login)
        if login.user is None or not (methods or extras):
            return None
        return Case(
            tenant=visit.tenant,
            policy=login.policy,
            limits=visit.configuration.gateway.limits,
            user=login.user,
            login=login.id,
            round=login.round,
            app=login.app,
            client=visit.client,
            methods=methods,
            extras=extras,
            takes_any=aims.takes_any(login),
            enrolments=login.enrolments,
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
            tag=self._tag(login, factor),
        )

    def about_of(self, visit: Visit, login: Login) -> Callable[[FactorKind], About]:
        """The circumstances by factor."""
        return lambda factor: self.about(visit, login, factor)

    def _tag(self, login: Login, factor: FactorKind) -> str:
        """A short label on page and message, where users of one mailbox each have a code of their own (NX-10)."""
        if factor not in MESSAGE_FACTORS or login.policy.shared_address is not SharedAddress.SEPARATE:
            return ""
        if login.challenge and login.challenge.tag:
            return login.challenge.tag
        return "".join(TAG_LETTERS[self.chance.below(len(TAG_LETTERS))] for _ in range(TAG_LENGTH))
