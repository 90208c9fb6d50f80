"""The frame around every operation of the API: caller, authority, input, answer, audit.

It is mounted twice with the same operations. On the public port a caller is a program with a bearer token of the realm
of the host's tenant. On the operations port the caller is the operator. Cookies are never read.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import structlog
from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from gateway.admin.api import openapi
from gateway.admin.api.operations import Authority, Call, Operation, Result
from gateway.admin.callers import Caller, CallerOf
from gateway.admin.denials import Denial, Fault, Reason
from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Random
from gateway.observe.audit import Audit, AuditEvent, RequestAudit
from gateway.settings.source.diagnostics import written
from gateway.web import security_headers
from gateway.web.error_responses import API, PROBLEM_TYPE
from gateway.web.forms import InvalidForm, read_body
from gateway.web.request_context import CLIENT_ADDRESS, REFERENCE, REQUEST_ID, TENANT, new_reference

MAX_BODY = 256 * 1024
_LONGEST_ETAG = 100
_NAME = re.compile("[0-9A-Za-z][0-9A-Za-z:._-]{0,99}")
"""An id in a path."""
_log = structlog.get_logger("web.failures")


@dataclass(frozen=True)
class Api:
    """The operations on one port. `caller_of` recognises the caller of a request."""

    operations: tuple[Operation, ...]
    prefix: str
    caller_of: CallerOf
    configuration: Callable[[], Configuration]
    audit: Audit
    random: Random

    def routes(self) -> list[web.RouteDef]:
        """All routes below `/-/api/`, so that every answer there is of one form."""
        base, paths = f"{self.prefix}{API}", dict.fromkeys(operation.path for operation in self.operations)
        return [
            web.route(hdrs.METH_ANY, f"{base}openapi.json", self._handler(self._describe)),
            *(web.route(hdrs.METH_ANY, f"{base}v1{path}", self._handler(self._of_path(path))) for path in paths),
            web.route(hdrs.METH_ANY, f"{base}{{rest:.*}}", self._handler(_not_found)),
        ]

    @cached_property
    def _document(self) -> bytes:
        return json.dumps(openapi.document(self.operations, self.prefix)).encode()

    async def _describe(self, request: web.Request, _audit: RequestAudit) -> web.Response | Denial:
        if request.method != hdrs.METH_GET:
            return _wrong_method(("GET",))
        tenant = request.get(TENANT)
        if tenant is not None and not tenant.api.clients:
            return Denial(Reason.NOT_FOUND, cause="gateway.api names no clients")
        return web.Response(body=self._document, content_type="application/json")

    def _of_path(self, path: str) -> "_Answer":
        by_method = {one.method: one for one in self.operations if one.path == path}

        async def answer(request: web.Request, audit: RequestAudit) -> web.Response | Denial:
            operation = by_method.get(request.method)
            if operation is None:
                return _wrong_method(by_method)
            found = await self._carry_out(operation, request, audit)
            if isinstance(found, Denial):
                return found
            if found.data is None:
                return web.Response(status=204, headers=found.headers)
            return web.json_response(found.data, status=operation.status, headers=found.headers)

        return answer

    async def _carry_out(self, operation: Operation, request: web.Request, audit: RequestAudit) -> Result | Denial:
        if any(not _NAME.fullmatch(value) for value in request.match_info.values()):
            return Denial(Reason.NOT_FOUND)
        caller, tenant_id = await self.caller_of(request), request.match_info.get("tenantId", "")
        if isinstance(caller, Denial):
            if caller.reason is Reason.FORBIDDEN:
                audit.write(AuditEvent.API_DENIED, operation=operation.name, cause=caller.cause)
            return caller
        if denied := _without_authority(operation, caller, tenant_id):
            audit.write(AuditEvent.API_DENIED, by=caller.name, operation=operation.name, cause=denied.cause)
            return denied
        query = _query(operation, request)
        body = await _body(operation, request)
        for given in (query, body):
            if isinstance(given, Denial):
                return given
        tag = request.headers.get(hdrs.IF_MATCH)
        if tag is not None and (len(tag) > _LONGEST_ETAG or not operation.with_etag):
            return Denial(Reason.BAD_REQUEST, "If-Match does not fit here.")
        found = await operation.run(
            Call(
                caller=caller,
                tenant_id=tenant_id,
                tenant=self.configuration().tenant(tenant_id),
                parameters=dict(request.match_info),
                query=query,
                body=body,
                if_match=None if tag in (None, "*") else str(tag).removeprefix("W/").strip('"'),
                audit=audit,
            )
        )
        if isinstance(found, Denial) and found.reason is Reason.FORBIDDEN:
            cause = found.cause or "; ".join(f"{one.path} {one.detail}" for one in found.faults)
            audit.write(AuditEvent.API_DENIED, by=caller.name, operation=operation.name, cause=cause or found.detail)
        return found

    def _handler(self, answer: "_Answer") -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            reference = request.get(REFERENCE) or new_reference(self.random)
            tenant = request.get(TENANT)
            audit = RequestAudit(
                self.audit,
                tenant.id if tenant else request.match_info.get("tenantId", "*"),
                request.get(CLIENT_ADDRESS) or request.remote or "",
                request.get(REQUEST_ID) or reference,
                reference,
            )
            try:
                found = await answer(request, audit)
            except (ConnectionResetError, BrokenPipeError):
                raise  # the client is gone: no answer reaches it
            except errors.Conflict as error:
                found = Denial(Reason.CONFLICT, "Try again.", cause=str(error))
            except errors.GatewayError as error:
                found = Denial(Reason.UNAVAILABLE, "Try again later.", cause=str(error))
            except Exception as error:
                _log.error("request_failed", error=type(error).__name__, exc_info=error, reference=reference)
                found = Denial(Reason.INTERNAL)
            headers = security_headers.headers(secure=tenant is not None and tenant.secure)
            if not isinstance(found, Denial):
                found.headers.extend(headers)
                return found
            _log.info(
                "problem",
                problem=found.reason.value,
                status=found.reason.status,
                cause=found.cause or found.detail,
                reference=reference,
                method=request.method,
                path=request.rel_url.raw_path,
            )
            return web.Response(
                text=json.dumps(found.as_json(reference)),
                status=found.reason.status,
                content_type=PROBLEM_TYPE,
                headers={**headers, **found.headers},
            )

        return handle


_Answer = Callable[[web.Request, RequestAudit], Awaitable[web.Response | Denial]]


def _without_authority(operation: Operation, caller: Caller, tenant_id: str) -> Denial | None:
    if operation.authority is Authority.OPERATOR and not caller.is_operator:
        return Denial(Reason.FORBIDDEN, "Only the operator may do this.", cause="not the operator")
    if not caller.administers(tenant_id):
        return Denial(Reason.FORBIDDEN, "The token is for another tenant.", cause=f"not of tenant {tenant_id}")
    return None


def _wrong_method(allowed: Iterable[str]) -> Denial:
    return Denial(Reason.METHOD_NOT_ALLOWED, headers={hdrs.ALLOW: ", ".join(allowed)})


async def _not_found(_request: web.Request, _audit: RequestAudit) -> Denial:
    return Denial(Reason.NOT_FOUND)


def _query(operation: Operation, request: web.Request) -> Any:
    given = dict(request.query)
    if len(given) != len(request.query):
        return Denial(Reason.BAD_REQUEST, "A parameter is given twice.")
    if operation.query is None:
        return Denial(Reason.BAD_REQUEST, f"There is no parameter {next(iter(given))}.") if given else None
    try:
        return TypeAdapter(operation.query).validate_strings(given, extra="forbid")
    except ValidationError as error:
        return _invalid(error)


async def _body(operation: Operation, request: web.Request) -> Any:
    if operation.body is None:
        return None
    if request.content_type not in operation.body_types or (request.charset or "utf-8").lower() not in _UTF8:
        return Denial(Reason.UNSUPPORTED_TYPE, f"Send {' or '.join(operation.body_types)}.")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        return Denial(Reason.UNSUPPORTED_TYPE, "Send the body uncompressed.")
    raw = await read_body(request, MAX_BODY)
    if isinstance(raw, InvalidForm):
        return Denial(Reason.TOO_LARGE, f"At most {MAX_BODY} bytes.")
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_section, parse_constant=_no_number)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # no half characters, no infinite numbers
    except (ValueError, RecursionError):
        return Denial(Reason.BAD_REQUEST, "The body is not JSON, or repeats a key.")
    try:
        return TypeAdapter(operation.body).validate_json(raw)
    except ValidationError as error:
        return _invalid(error)


_UTF8 = ("utf-8", "utf8")


def _section(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _invalid(error: ValidationError) -> Denial:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return Denial(Reason.INVALID, faults=tuple(Fault(written(one["loc"]), one["msg"]) for one in details))
