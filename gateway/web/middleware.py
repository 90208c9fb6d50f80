"""The middleware that checks every request before a handler runs, and answers what the handler raises.

The order is: check of the request, client address, request id, tenant, handler. The gateway's own pages and the apps
pass the same check. So `request_check` and `service_worker_scripts` are in `web`, which may not import `proxy`.

A proxied request costs no language and no page here. `language_of` finds out the language when a page needs it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import hdrs, web

from gateway.domain.configuration import Configuration
from gateway.domain.ports import Random
from gateway.domain.problem import Problem
from gateway.domain.tenant import longest_match
from gateway.observe.seldom import Seldom
from gateway.web import request_check, service_worker_scripts
from gateway.web.client_address import HEADER, client_address, client_network, is_trusted_peer
from gateway.web.error_responses import ErrorResponses, Handler
from gateway.web.pages import Pages
from gateway.web.request_check import (
    METHODS,
    InvalidRequest,
    RequestHead,
    asks_for_service_worker,
    check,
)
from gateway.web.request_context import (
    CHECKED,
    CLIENT_ADDRESS,
    CONFIGURATION,
    IN_QUESTION,
    REFERENCE,
    REQUEST_ID,
    REQUEST_ID_FIELD,
    TENANT,
    language_of,
    new_reference,
)

ID_BYTES = 9
RETRY_AFTER = "5"
"""Seconds after which a client may repeat a request that a dependency failed, unless the answer knows better."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RequestMiddleware:
    """Runs around every handler. `configuration` gives the configuration in force, once for each request."""

    configuration: Callable[[], Configuration]
    errors: ErrorResponses
    pages: Pages
    random: Random
    untrusted: Seldom = field(default_factory=lambda: Seldom(period=3600))

    @web.middleware
    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request."""
        reference = request[REFERENCE] = new_reference(self.random)
        try:
            response = self._refused(request)
            if response is None:
                with structlog.contextvars.bound_contextvars(
                    request_id=request[REQUEST_ID], tenant=request[TENANT].id, reference=reference
                ):
                    response = await handler(request)
        except (ConnectionResetError, BrokenPipeError):
            raise  # the client is gone: no answer reaches it
        except Exception as error:
            response = self.errors.of_error(request, error)
        if hdrs.UPGRADE in request.headers and not response.prepared:
            response.force_close()  # aiohttp's parser holds back what follows an upgrade that is not taken
        if not response.prepared:  # an app's answer is; it has the id already, and its own time to try again
            if REQUEST_ID in request:
                response.headers[REQUEST_ID_FIELD] = request[REQUEST_ID]
            if response.status == 503:
                response.headers.setdefault(hdrs.RETRY_AFTER, RETRY_AFTER)
        return response

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        """The answer to a request that no handler may see; else None, and the request has its context."""
        head = request.get(IN_QUESTION) or head_of(request)
        checked = check(head)
        if isinstance(checked, InvalidRequest):
            return self._closing(request, head, checked.problem, checked.status)
        configuration = request[CONFIGURATION] = self.configuration()
        request[CHECKED] = checked
        trusted, hops = configuration.gateway.trusted_proxies, checked.all(HEADER.lower())
        address = client_address(request.remote, hops, trusted)
        sent = checked.all(REQUEST_ID_FIELD.lower())
        by_proxy = bool(hops or sent) and is_trusted_peer(request.remote, trusted)
        request[REQUEST_ID] = self._request_id(sent if by_proxy else ())
        if hops and address and not by_proxy and self.untrusted.allows(client_network(address)):
            _log.warning(
                "forwarded_for_ignored",
                client=address,
                hint="if this is a proxy of yours, name it in trusted_proxies",
            )
        if address is None:
            return self._closing(request, head, Problem.BAD_REQUEST, 400)
        request[CLIENT_ADDRESS] = address
        tenant = configuration.tenants_by_host.get(checked.host)
        if tenant is None:
            cause = f"no tenant has the host {checked.host}: open another address, or add it to gateway.hosts"
            return self._closing(request, head, Problem.UNKNOWN_HOST, 421, cause=cause)
        request[TENANT] = tenant
        prefix = configuration.gateway.prefix
        own = checked.segments[0] == prefix.strip("/")
        if checked.underscores or checked.method not in METHODS:
            refused = request_check.refusal(checked, None if own else longest_match(tenant.routes, checked.segments))
            if refused is not None:
                return self._closing(request, head, refused.problem, refused.status)
        if own:
            language_of(request, self.pages.languages)  # the handlers of own pages read LANGUAGE
        if asks_for_service_worker(head):
            route = None if own else longest_match(tenant.routes, checked.segments)
            refusal = service_worker_scripts.refusal(route, checked.path, prefix)
            why = refusal if tenant.active else Problem.TENANT_NOT_AVAILABLE.value
            if why is not None:
                return service_worker_scripts.unregistering(request, why, route)
        if not tenant.active and not checked.path.startswith(f"{prefix}static/"):
            headers = {"Cache-Control": "no-store", "Vary": "Cookie"}
            return self.errors.respond(request, Problem.TENANT_NOT_AVAILABLE, headers=headers)
        return None

    def _request_id(self, sent: Sequence[str]) -> str:
        """The id that a trusted proxy sent, if a log line can have it as it is; else a new one."""
        if len(sent) == 1 and is_request_id(sent[0]):
            return sent[0]
        return self.random.token_bytes(ID_BYTES).hex()

    def _closing(
        self, request: web.Request, head: RequestHead, problem: Problem, status: int, *, cause: str = ""
    ) -> web.StreamResponse:
        """The last answer of a connection. A service worker does not outlive it, whatever the problem is."""
        if asks_for_service_worker(head):
            response = service_worker_scripts.unregistering(request, problem.value)
        else:
            allow = {"Allow": ", ".join(sorted(METHODS))} if status == 405 else None
            response = self.errors.respond(request, problem, status=status, headers=allow, cause=cause)
        response.force_close()
        return response


def is_request_id(text: str) -> bool:
    """Whether a log line can have this text, which a trusted proxy sent as the id of a request, as it is."""
    return _REQUEST_ID.fullmatch(text) is not None


async def without_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """Removes the `Server` header: no answer names the program and its version (ASVS 13.4.6)."""
    response.headers.popall(hdrs.SERVER, None)


def head_of(request: web.Request) -> RequestHead:
    """The head as it was sent, one character a byte."""
    return RequestHead(
        method=request.method,
        target=request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1"),
        version=(request.version.major, request.version.minor),
        headers=tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]),
    )
