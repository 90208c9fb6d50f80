"""Makes the `ChallengeContext` and `DeliveryContext` of a login's pending proof, in the words of `second_factor`.

Sending, judging and showing take the same ones, so they speak of the same proof.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.channel import Channel
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import FactorKind, SharedAddress
from gateway.domain.ports import Clock, Random
from gateway.login import pending_proof
from gateway.login.record import Login
from gateway.login.visit import LoginRequest
from gateway.second_factor.challenges import ChallengeContext
from gateway.second_factor.factors import table
from gateway.second_factor.factors.protocol import DeliveryContext

SEND_TIMEOUT = 20.0
"""Seconds after which a send that said nothing may be claimed by another request."""
TAG_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TAG_LENGTH = 3


@dataclass(frozen=True, slots=True)
class ChallengeContexts:
    """Makes cases of logins."""

    clock: Clock
    random: Random

    def case(self, visit: LoginRequest, login: Login) -> ChallengeContext | None:
        """The case of the proof that is pending; None when none is."""
        methods, extras = pending_proof.methods(login), pending_proof.extras(login)
        if login.user is None or not (methods or extras):
            return None
        return ChallengeContext(
            tenant=visit.tenant,
            policy=login.policy,
            limits=visit.configuration.gateway.limits,
            user=login.user,
            bound_to=pending_proof.binding(login),
            app=login.app,
            client=visit.client,
            methods=methods,
            extras=extras,
            takes_any=pending_proof.takes_any(login),
            enrolments=login.enrolments,
        )

    def about(self, visit: LoginRequest, login: Login, factor: FactorKind) -> DeliveryContext:
        """The circumstances of that proof. Raises `Misconfigured` when its channel is gone and has no successor."""
        return DeliveryContext(
            tenant=visit.tenant,
            channel=_channel(visit, login, factor),
            digits=login.policy.otp_length,
            expiry=login.policy.otp_expiry,
            language=visit.language,
            host=visit.host,
            browser=visit.browser,
            reference=visit.reference,
            now=self.clock.now(),
            random=self.random,
            tag=self._tag(login, factor),
        )

    def about_of(self, visit: LoginRequest, login: Login) -> Callable[[FactorKind], DeliveryContext]:
        """The circumstances by factor."""
        return lambda factor: self.about(visit, login, factor)

    def _tag(self, login: Login, factor: FactorKind) -> str:
        """A short label on page and message, where users of one mailbox each have a code of their own (NX-10)."""
        if not table.sends(factor) or login.policy.shared_address is not SharedAddress.SEPARATE:
            return ""
        if login.challenge and login.challenge.tag:
            return login.challenge.tag
        return "".join(TAG_LETTERS[self.random.below(len(TAG_LETTERS))] for _ in range(TAG_LENGTH))


def _channel(visit: LoginRequest, login: Login, factor: FactorKind) -> Channel | None:
    """The channel pinned in the login; when it was replaced meanwhile, the tenant's present one of that type (EF-22).

    None where the factor needs none.
    """
    pinned, present = login.policy.method(factor), visit.tenant.policy.method(factor)
    if pinned is None or pinned.channel is None:
        return None
    channels = visit.configuration.channels
    successor = channels.get(present.channel) if present and present.channel else None
    found = channels.get(pinned.channel) or successor
    if found is None:
        raise Misconfigured("channels", f"{pinned.channel} is no longer configured")
    return found
