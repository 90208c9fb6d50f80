"""Answers the problems of the proxy, and audits those that an operator wants to see."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.domain.problem import Problem
from gateway.observe.audit import Audit, AuditEvent
from gateway.web.error_responses import ErrorResponses
from gateway.web.request_context import CLIENT_ADDRESS, REFERENCE, TENANT

_AUDITED = {Problem.SIGN_IN_HERE: AuditEvent.ENDPOINT_BLOCKED, Problem.ORIGIN_REFUSED: AuditEvent.ORIGIN_REJECTED}
_AUDITED_PATH = 200


@dataclass(frozen=True, slots=True)
class AuditedProblems:
    """See `admission.ProblemResponder`."""

    failures: ErrorResponses
    audit: Audit

    def __call__(self, request: web.Request, problem: Problem, **answer: Any) -> web.StreamResponse:
        """The answer of `ErrorResponses.respond`, with an audit event where the problem has one."""
        if event := _AUDITED.get(problem):
            self.audit.write(
                event,
                tenant=request[TENANT].id,
                client=request.get(CLIENT_ADDRESS),
                reference=request.get(REFERENCE),
                method=request.method,
                path=request.rel_url.raw_path[:_AUDITED_PATH],
            )
        return self.failures.respond(request, problem, **answer)
