"""Answers with problems, and turns exceptions into them.

This is the only place where an exception becomes a response. Each problem is a page or JSON, by what the client
accepts, and carries a short reference code. The log line with the same code has the true cause, the answer never has.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import hdrs, web

from gateway.domain.errors import Conflict, GatewayError, Misconfigured, Refused, Unreachable
from gateway.domain.problem import Problem
from gateway.rendering.problem_view import problem_view
from gateway.web import security_headers
from gateway.web.pages import Pages
from gateway.web.request_context import CHECKED, REFERENCE, REQUEST_ID, TENANT, language_of, wants_json

API = "api/"
"""The path of the API below the prefix of our own pages."""
PROBLEM_TYPE = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("web.failures")
_OF_STATUS = {
    404: Problem.NOT_FOUND,
    405: Problem.METHOD_NOT_ALLOWED,
    413: Problem.REQUEST_TOO_LARGE,
    421: Problem.UNKNOWN_HOST,
    431: Problem.HEADERS_TOO_LARGE,
}


@dataclass(frozen=True, slots=True)
class ErrorResponses:
    """Answers with problems, and turns what handlers raise into problems."""

    pages: Pages

    def respond(
        self,
        request: web.Request,
        problem: Problem,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        cause: str = "",
        failure: Mapping[str, Any] | None = None,
        as_json: bool = False,
    ) -> web.Response:
        """Answer with `problem`: a page, or `{"problem": {code, text, retry_after, reference}}`.

        `status` None is the problem's own. `extra` is added beside `problem` in the JSON; a page names its `app`.
        `cause` is for the log only.
        `failure`: what failed; it is logged in the same line. `as_json`: JSON whatever the client accepts.
        """
        reference, tenant = request[REFERENCE], request.get(TENANT)
        own = security_headers.headers(secure=tenant is not None and tenant.secure)
        language = language_of(request, self.pages.languages)
        view = problem_view(problem, language, reference=reference)
        answered = status or view.status
        facts = {"problem": problem.value, "status": answered, **({"cause": cause} if cause else {})}
        if failure:
            _log_failure(request, failure, **facts)
        else:
            _log.info("problem", **facts, **_of_request(request))
        if self._is_of_api(request):
            details = {"title": view.title, "status": answered, "code": problem.value, "reference": reference}
            return web.Response(
                text=json.dumps({"type": "about:blank", **details}),
                status=answered,
                content_type=PROBLEM_TYPE,
                headers={**own, **(headers or {})},
            )
        if not as_json and not wants_json(request):
            try:
                context = {"problem": view, "app": (extra or {}).get("app", "")}
                return self.pages.render(request, "problem.html", context, answered, headers=headers)
            except Exception as error:  # plain text is better than no answer
                _log.error("problem_page_failed", exc_info=error, **_of_request(request))
                text = "\n\n".join(part for part in (view.title, view.text, view.next, view.reference) if part)
                return web.Response(text=text, status=answered, headers=own)
        body = {"problem": view.as_json(), **(extra or {})}
        return web.json_response(
            body, status=answered, headers={**own, "Content-Language": language.code, **(headers or {})}
        )

    def _is_of_api(self, request: web.Request) -> bool:
        """Whether a program sent it, which reads problem details (RFC 9457) only."""
        return request.rel_url.raw_path.startswith(f"{self.pages.prefix}{API}")

    def of_error(self, request: web.Request, error: BaseException) -> web.StreamResponse:
        """Answer what a handler raised, and log its cause."""
        if isinstance(error, web.HTTPException):
            return self._of_aiohttp(request, error)
        expected = isinstance(error, GatewayError)
        failure = {
            "error": type(error).__name__,
            "detail": str(error) if expected else "",
            "caused_by": type(error.__cause__).__name__ if error.__cause__ else "",
            "exc_info": None if expected else error,
        }
        if request.writer.output_size > 0:  # an answer that has begun is cut off, so that no client takes it for whole
            _log_failure(request, failure)
            raise ConnectionResetError("the answer had begun when its handler failed")
        return self.respond(request, problem_of(error), failure=failure)

    def _of_aiohttp(self, request: web.Request, error: web.HTTPException) -> web.StreamResponse:
        if error.status < 400:
            raise error  # a redirect is an answer, not a failure
        allow = error.headers.get(hdrs.ALLOW)
        return self.respond(
            request,
            _OF_STATUS.get(error.status, Problem.BAD_REQUEST if error.status < 500 else Problem.INTERNAL),
            status=error.status,
            headers={hdrs.ALLOW: allow} if allow else None,
            cause=error.reason,
        )


def _log_failure(request: web.Request, failure: Mapping[str, Any], **facts: Any) -> None:
    """One line for a request that failed: a warning for a dependency, an error for the gateway itself."""
    level = "error" if failure["exc_info"] else "warning"
    getattr(_log, level)("request_failed", **failure, **facts, **_of_request(request))


def _of_request(request: web.Request) -> dict[str, str]:
    """The names of a request in its log lines; these are written outside of its log context."""
    tenant, ident, checked = request.get(TENANT), request.get(REQUEST_ID), request.get(CHECKED)
    return {
        "reference": request[REFERENCE],
        "method": checked.method if checked else request.method,
        "path": checked.path if checked else request.rel_url.raw_path,
        **({"request_id": ident} if ident else {}),
        **({"tenant": tenant.id} if tenant else {}),
    }


def problem_of(error: BaseException) -> Problem:
    """The problem that a user sees for an exception; `what` of the four of `domain.errors` names the dependency."""
    match error:
        case Unreachable(what="store"):
            return Problem.STORE_UNAVAILABLE
        case Unreachable():
            return Problem.SIGN_IN_UNAVAILABLE
        case Refused() | Misconfigured():
            return Problem.SIGN_IN_MISCONFIGURED
        case Conflict():
            return Problem.OUT_OF_ORDER
        case _:
            return Problem.INTERNAL
