"""Reads the forms of the gateway's own pages.

`read_fields` takes at most 20 KiB of `application/x-www-form-urlencoded` or JSON, uncompressed, and returns a flat
mapping of text to text without control characters. For anything else it returns a reason, never an exception.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.domain.problem import Problem
from gateway.web import continue_100

MAX_BODY = 20 * 1024
MAX_FIELDS = 50

FormFields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InvalidForm:
    """The reason why a body is not one of our forms.

    `detail` is for the log and names no value. `to` is the field of that name, unchecked, where it could be read.
    """

    problem: Problem
    status: int
    detail: str
    to: str | None = None


async def read_fields(request: web.Request) -> FormFields | InvalidForm:
    """Read the fields of an own form. In JSON, true and false are the texts "true" and "false", null is absent."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return InvalidForm(Problem.BAD_REQUEST, 415, "a compressed body")
    charset = (request.charset or "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        return InvalidForm(Problem.BAD_REQUEST, 415, "a body in another charset than UTF-8")
    body = await _read(request)
    if isinstance(body, InvalidForm):
        return body
    match request.content_type:
        case "application/x-www-form-urlencoded":
            fields = _form(body)
        case "application/json":
            fields = _json(body)
        case "application/octet-stream" if not body:  # aiohttp's word for "no Content-Type"
            fields = {}
        case _:
            return InvalidForm(Problem.BAD_REQUEST, 415, "a body that is neither form nor JSON")
    return fields if isinstance(fields, InvalidForm) else _checked(fields)


async def _read(request: web.Request) -> bytes | InvalidForm:
    too_large = InvalidForm(Problem.REQUEST_TOO_LARGE, 413, f"a body of more than {MAX_BODY} bytes")
    if (request.content_length or 0) > MAX_BODY:
        return too_large
    continue_100.ask(request)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            return too_large
    return bytes(body)


def _form(body: bytes) -> dict[str, str] | InvalidForm:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # too many fields, not ASCII, or escapes that are no UTF-8
        return InvalidForm(Problem.BAD_REQUEST, 400, "a form that does not parse")
    return _once(pairs)


def _json(body: bytes) -> dict[str, str] | InvalidForm:
    broken = InvalidForm(Problem.BAD_REQUEST, 400, "JSON that is no object")
    try:
        pairs = json.loads(body.decode(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return broken
    if not isinstance(pairs, _Pairs) or len(pairs) > MAX_FIELDS:
        return broken
    plain: list[tuple[str, str]] = []
    for name, value in pairs:
        match value:
            case str():
                plain.append((name, value))
            case bool():
                plain.append((name, "true" if value else "false"))
            case None:
                pass
            case _:
                return InvalidForm(Problem.BAD_INPUT, 422, "a field that is no text")
    return _once(plain)


class _Pairs(list[tuple[str, object]]):
    """A JSON object whose names may occur twice."""


def _once(pairs: list[tuple[str, str]]) -> dict[str, str] | InvalidForm:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        return InvalidForm(Problem.BAD_REQUEST, 400, "a field given twice")
    return fields


def _checked(fields: dict[str, str]) -> FormFields | InvalidForm:
    # Cc: control characters; Cs: halves of surrogate pairs, which no encoding can write
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in "".join((*fields, *fields.values()))):
        return InvalidForm(Problem.BAD_INPUT, 422, "control characters in a field", fields.get("to"))
    return fields
