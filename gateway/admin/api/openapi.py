"""The OpenAPI document of the API, made of its operations. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from gateway import __version__
from gateway.admin.api.operations import Authority, Operation
from gateway.admin.denials import Reason
from gateway.settings.source.descriptions import DescribedSchema

_SCHEMA = "#/components/schemas/"
_PROBLEM = f"{_SCHEMA}Problem"
_ALWAYS = (
    Reason.BAD_REQUEST,
    Reason.NOT_AUTHENTICATED,
    Reason.FORBIDDEN,
    Reason.NOT_FOUND,
    Reason.CONFLICT,
    Reason.INVALID,
    Reason.INTERNAL,
    Reason.UNAVAILABLE,
)
_WITH_BODY = (Reason.TOO_LARGE, Reason.UNSUPPORTED_TYPE)
_ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


def document(operations: Iterable[Operation], prefix: str) -> dict[str, Any]:
    """The document as plain data."""
    schemas: dict[str, Any] = {"Problem": _problem()}
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "EFCX 2FA gateway", "version": __version__},
        "servers": [{"url": f"{prefix}api/v1"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "On the public port, a client-credentials token of the tenant's realm. On the "
                    "operations port, the operations token.",
                }
            },
            "schemas": schemas,
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described = "For the operator only, on the operations port." if operation.authority is Authority.OPERATOR else ""
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, schemas)],
        "responses": _responses(operation, schemas),
    }
    if described:
        found["description"] = described
    if operation.body is not None:
        schema = dict(operation.body_schema) if operation.body_schema else _schema(operation.body, schemas)
        content = {kind: {"schema": schema} for kind in operation.body_types}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    schema = {"type": "string", "pattern": _ID}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": schema.pop("description", "")}
        for name, schema in (_properties(operation.query).items() if operation.query else ())
    ]
    if operation.with_etag:
        text = "Tag of the file that the caller read. If the file is another one now, nothing is changed."
        tag = {"type": "string", "pattern": '^"[0-9a-f]{32}"$'}
        found.append({"name": "If-Match", "in": "header", "required": False, "schema": tag, "description": text})
    return found


def _properties(section: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = TypeAdapter(section).json_schema(schema_generator=DescribedSchema)["properties"]
    return found


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    reasons = (*_ALWAYS, *(_WITH_BODY if operation.body else ()), *operation.reasons)
    found: dict[str, Any] = {"204": {"description": "Done"}}
    if operation.result is not None:
        schema = {"schema": _schema(operation.result, schemas)}
        found = {str(operation.status): {"description": "Done", "content": {"application/json": schema}}}
    for reason in reasons:
        entry = found.setdefault(
            str(reason.status),
            {"description": "", "content": {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}},
        )
        entry["description"] = "; ".join(filter(None, (entry["description"], f"`{reason.value}`: {reason.title}")))
    return found


def _schema(section: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if section is Mapping:
        return {"type": "object"}
    adapter = TypeAdapter(section)
    made = adapter.json_schema(
        ref_template=f"{_SCHEMA}{{model}}", schema_generator=DescribedSchema, mode="serialization"
    )
    schemas.update(made.pop("$defs", {}))
    name = section.__name__
    schemas[name] = made
    return {"$ref": f"{_SCHEMA}{name}"}


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    fault = {"type": "object", "required": ["path", "detail"], "properties": {"path": text, "detail": text}}
    return {
        "type": "object",
        "description": "Problem details (RFC 9457). `reference` is in the log and the audit of the gateway.",
        "required": ["type", "title", "status", "code", "reference"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "code": text,
            "reference": text,
            "detail": text,
            "errors": {"type": "array", "items": fault},
        },
    }
