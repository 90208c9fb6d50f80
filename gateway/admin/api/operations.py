"""The form of an operation of the API, and of a call of it.

An operation is a function of a `Call` that returns a `Result` or a `Denial`. The route table and the OpenAPI document
are both made of the operations, so they cannot differ.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.admin.callers import Caller
from gateway.admin.denials import Denial, Reason
from gateway.domain.tenant import Tenant
from gateway.observe.audit import RequestAudit


class Authority(Enum):
    """Whose authority an operation needs."""

    OPERATOR = "operator"
    ADMINISTRATOR = "tenant administrator"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation by a caller with the authority for it.

    `tenant` is the one in the path, None where the path has none or no such tenant is in force. `query` and `body` are
    values of the operation's types.
    """

    caller: Caller
    tenant_id: str
    tenant: Tenant | None
    parameters: Mapping[str, str]
    query: Any
    body: Any
    if_match: str | None
    audit: RequestAudit


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation returns: JSON, or nothing (None)."""

    data: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `name` is the `operationId`.

    `query` is a dataclass whose fields are texts or numbers with defaults. `body` is a dataclass, or `Mapping` for any
    object that `schema` describes. `reasons` are those of `Denial`s beyond the ones of every operation.
    """

    method: str
    path: str
    name: str
    summary: str
    authority: Authority
    run: Callable[[Call], Awaitable[Result | Denial]]
    result: type[Any] | None
    status: int = 200
    query: type[Any] | None = None
    body: type[Any] | None = None
    body_types: tuple[str, ...] = ("application/json",)
    body_schema: Mapping[str, Any] | None = None
    reasons: tuple[Reason, ...] = ()
    with_etag: bool = False
    tags: tuple[str, ...] = field(default=())
