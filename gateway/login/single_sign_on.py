"""Binds a sign-in on Keycloak's own page to the browser that began it. Nothing is stored until the browser is back.

`state` holds the beginning, sealed for tenant and browser: its time, the browser's login secret then (a digest), its
target, and inside a session the login that asked. `nonce` and the verifier of PKCE are keyed digests of it, so no other
party knows them, and a code that Keycloak gave for one `state` cannot be exchanged with another.
"""

import json
from dataclasses import asdict, dataclass

from gateway.crypto.key_ring import Sealer, Signer, Unopenable
from gateway.domain.ports import Clock, Random
from gateway.keycloak import sso
from gateway.keycloak.tokens import SignIn
from gateway.login.login_records import digest
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, Purpose

PURPOSE = "single-sign-on"
"""The purpose of the `Sealer` and the `Signer`."""
MOST_TARGET = 1500
"""Characters of a target that fits into `state`: Keycloak takes 4,000 there. A longer one leads to the home page."""


@dataclass(frozen=True, slots=True)
class Started:
    """A sign-in that this browser began at `at`, when its login secret had the digest `secret`.

    `login` and `round` name the login inside a session that asked for it, "" for a sign-in.
    """

    id: str
    at: float
    secret: str
    to: str
    login: str = ""
    round: str = ""


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """Makes and reads `state`."""

    sealer: Sealer
    signer: Signer
    clock: Clock
    random: Random

    def page(self, request: LoginRequest, login: Login | None) -> str:
        """The address of Keycloak's page. The request has a login secret; `login` is the one inside a session."""
        within = login if login and login.purpose is not Purpose.SIGN_IN else None
        started = Started(
            id=self.random.token_bytes(16).hex(),
            at=self.clock.now(),
            secret=digest(request.secret or ""),
            to=request.to if len(request.to) <= MOST_TARGET else "",
            login=within.id if within else "",
            round=str(within.verification.round) if within else "",
        )
        state = self.sealer.seal_text(json.dumps(asdict(started)).encode(), _context(request))
        return sso.authorization_url(
            request.tenant.keycloak,
            state=state,
            nonce=self._nonce(state),
            verifier=self.verifier(state),
            language=request.language,
            username=within.user.username if within and within.user else "",
        )

    def started(self, request: LoginRequest, state: str) -> Started | None:
        """The sign-in that this very browser began at this tenant with `state`; None for any other text."""
        try:
            return Started(**json.loads(self.sealer.open_text(state, _context(request))))
        except (Unopenable, ValueError, TypeError):  # the latter two: another version's
            return None

    def asked(self, state: str, started: Started) -> SignIn:
        """What the ID token must say."""
        return SignIn(self._nonce(state), started.at)

    def verifier(self, state: str) -> str:
        """The verifier of PKCE."""
        return self.signer.sign("verifier", state)

    def _nonce(self, state: str) -> str:
        return self.signer.sign("nonce", state)


def _context(request: LoginRequest) -> str:
    access = request.tenant.keycloak
    return json.dumps([request.tenant.id, request.tag, access.issuer, access.sign_in.client_id])
