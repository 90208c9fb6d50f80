"""Mails a user when logins with their right password fail at the code: another person may know the password.

The third such login in a row causes the mail, at most one in a day. A right code begins the row anew. A failure of the
store or the relay has no effect on the login.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.domain.errors import GatewayError
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, Purpose
from gateway.second_factor import rate_limits
from gateway.second_factor.rate_limits import DAY, Allowed, RateLimiter
from gateway.store.single_use import SingleUse

LOGINS = 3


@dataclass(frozen=True, slots=True)
class WrongCodeMails:
    """See the module's text."""

    rate_limiter: RateLimiter
    single_use: SingleUse
    mails: AccountChangeMails

    async def wrong(self, request: LoginRequest, login: Login) -> None:
        """Notes a wrong code; each login counts once."""
        user, tenant = login.user, request.tenant.id
        if user is None or login.purpose is not Purpose.SIGN_IN:
            return
        with suppress(GatewayError):
            if not await self.single_use.claim(tenant, ("wrong-code", login.id), DAY):
                return
            found = await self.rate_limiter.reserve(((rate_limits.logins_in_a_row(tenant, user.id),),))
            logins = found.counts[0][1] if isinstance(found, Allowed) else 0
            if logins >= LOGINS and await self.single_use.claim(tenant, ("wrong-codes-mailed", user.id), DAY):
                # In the tenant's first language: this browser may not be the user's.
                request = replace(request, language=request.configuration.gateway.languages[0])
                await self.mails.notify(request, login, AccountChange(Change.WRONG_CODES))

    async def right(self, request: LoginRequest, login: Login) -> None:
        """Notes a right code."""
        if login.user:
            with suppress(GatewayError):
                row = rate_limits.logins_in_a_row(request.tenant.id, login.user.id)
                await self.rate_limiter.clear(((row,),))
