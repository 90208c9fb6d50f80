"""Checks a password with Keycloak: in its turn, counted, and audited.

Every page that takes the user's present password uses it. The user's name in Keycloak stands for all spellings that
sign the user in, so their user name and e-mail address share one turn and one count. Logs contain a digest of the name
only, because users also type a password into that field.
"""

from contextlib import suppress
from dataclasses import dataclass

from gateway.crypto.key_ring import Signer
from gateway.domain import errors
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.secret import Secret
from gateway.keycloak.grant_queue import Busy, GrantQueue, normalised
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp, TokenEndpoint, WrongPassword
from gateway.keycloak.users import Users
from gateway.login.login_records import BrowserUsers
from gateway.login.login_request import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor import rate_limits
from gateway.second_factor.rate_limits import Limited, RateLimiter
from gateway.web.client_address import client_network

LOGGED = 16
"""Characters of a name's digest in the audit log."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """See the module's text."""

    token_endpoint: TokenEndpoint
    grant_queue: GrantQueue
    users: Users
    rate_limiter: RateLimiter
    browsers: BrowserUsers
    names: Signer

    async def ask(self, request: LoginRequest, typed: str, password: Secret) -> Granted | NotFullySetUp | ProblemDetail:
        """One password of the user that signs in with `typed`."""
        access, name = request.tenant.keycloak, normalised(typed)
        with suppress(errors.GatewayError):  # else each spelling counts for itself
            name = normalised(await self.users.username_of(access, typed))
        digest, client = self.names.sign(request.tenant.id, name), client_network(request.client)
        known = await self.browsers.knows(request.tenant.id, request.browser_id, digest)
        async with self.grant_queue.turn(request.tenant.id, name, client, known=known, longest=access.timeout) as turn:
            if isinstance(turn, Busy):
                request.audit.write(AuditEvent.LOGIN_QUEUE_FULL, name_digest=digest[:LOGGED])
                return ProblemDetail(Problem.TOO_MANY_LOGINS, turn.until)
            browser = self.names.sign(request.tenant.id, request.browser_id or "") if known else ""
            limits = request.configuration.gateway.limits
            groups = rate_limits.for_password(limits, request.tenant.id, digest, client, browser=browser)
            answer = await self._counted(request, groups, typed, password, digest[:LOGGED])
            if isinstance(answer, WrongPassword):
                turn.rejected = True
                # Only to a browser in which the user signed in before: another one could find out who has an account.
                until = await self._locked_until(request, name) if known else None
                if until is not None:
                    await self.rate_limiter.give_back(groups)  # Keycloak has not looked at the password
                    request.audit.write(AuditEvent.LIMIT_REACHED, limit="keycloak", name_digest=digest[:LOGGED])
                    return ProblemDetail(Problem.LOCKED, until or None)
                request.audit.write(AuditEvent.PASSWORD_REJECTED, reason=answer.reason, name_digest=digest[:LOGGED])
                return ProblemDetail(Problem.WRONG_PASSWORD)
            if not isinstance(answer, ProblemDetail):
                unknown = rate_limits.unknown_browsers(limits, request.tenant.id, digest)
                await self.rate_limiter.clear((groups[0], (unknown,)))
                await self.rate_limiter.give_back(groups[1:])
            return answer

    async def _counted(
        self, request: LoginRequest, groups: tuple[rate_limits.Group, ...], typed: str, password: Secret, digest: str
    ) -> Granted | NotFullySetUp | WrongPassword | ProblemDetail:
        """One grant, counted before it is made and given back if Keycloak gave no verdict."""
        found = await self.rate_limiter.reserve(groups)
        if isinstance(found, Limited):
            request.audit.write(AuditEvent.LIMIT_REACHED, limit=found.limit.setting, name_digest=digest)
            return ProblemDetail(found.problem, found.until)
        try:
            return await self.token_endpoint.password(request.tenant.keycloak, typed, password, request.client)
        except BaseException as error:
            await self.rate_limiter.give_back(groups)
            if not isinstance(error, errors.GatewayError):
                raise
            # Keycloak did not judge: never "wrong password".
            unreachable = isinstance(error, errors.Unreachable)
            problem = Problem.SIGN_IN_UNAVAILABLE if unreachable else Problem.SIGN_IN_MISCONFIGURED
            request.audit.write(
                AuditEvent.LOGIN_UNAVAILABLE,
                problem=problem.value,
                what=error.what,
                detail=error.detail,
                name_digest=digest,
            )
            return ProblemDetail(problem)

    async def _locked_until(self, request: LoginRequest, name: str) -> float | None:
        """Until when Keycloak locks the user; None when it does not, or does not tell."""
        with suppress(errors.GatewayError):
            return await self.users.locked_until(request.tenant.keycloak, name)
        return None
