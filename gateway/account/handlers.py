"""The endpoint of `/-/account`: the user's own page.

It shows which factors are on and has one form for each act: set up, turn off, view or renew backup codes, sign out
everywhere else. The page itself changes nothing. Each form posts to `/-/login` and begins a login for that one act,
whose last form carries the proof (`login.account_acts`). A form's token names session, act, factor and the version of
the user's enrolments.
"""

from dataclasses import dataclass

from aiohttp import web

from gateway.account.overview import overview
from gateway.domain.ports import Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.observe.audit import AuditEvent
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.web.csrf import account_act
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Page, Reply
from gateway.web.request_context import LANGUAGE

DONE = frozenset({"sign-out-everywhere", "turn-off", "out-of-date"})
"""Values of `done`, for which the page says once what has just happened."""
FORM_BYTES = 16


@dataclass(frozen=True, slots=True)
class Account:
    """The user's own page."""

    enrolments: Enrolments
    random: Random

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        return [endpoints.get_with_session("account", self.show)]

    async def show(self, request: OwnRequest, session: Session) -> Reply:
        """The page."""
        enrolments = await self.enrolments.read(request.tenant, session.user_id)
        if isinstance(enrolments, Tampered):
            request.audit.write(AuditEvent.ENROLMENT_TAMPERED, session, **enrolments.details)
            return Reply(Failure(Problem.ENROLMENT_UNREADABLE))
        version, done = enrolments.version, request.http.query.get("done", "")

        def token(kind: str, factor: str = "") -> str:
            return request.token(session.id, *account_act(kind, factor, version))

        context = {
            "page": overview(request.tenant.policy, session, enrolments, request.http[LANGUAGE]),
            "token": token,
            "version": version,
            "form": self.random.token_bytes(FORM_BYTES).hex(),
            "done": done if done in DONE else "",
            "here": f"{request.prefix}account",
        }
        return Reply(Page("account.html", context))
