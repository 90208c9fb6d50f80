"""Reads the forms of the gateway's own pages.

`read_fields` takes at most 20 KiB of `application/x-www-form-urlencoded` or JSON, uncompressed, and returns a flat
mapping of text to text without control characters. For anything else it returns a reason, never an exception.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from gateway.domain.problem import Problem
from gateway.web import continue_100

MAX_BODY = 20 * 1024
MAX_FIELDS = 50

FormFields = Mapping[str, str]
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which no encoding can write."""


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
    body = await read_body(request, MAX_BODY)
    if isinstance(body, InvalidForm):
        return body
    match request.content_type:
        case "application/x-www-form-urlencoded":
            pairs = _form(body)
        case "application/json":
            pairs = _json(body)
        case "application/octet-stream" if not body:  # aiohttp's word for "no Content-Type"
            pairs = []
        case _:
            return InvalidForm(Problem.BAD_REQUEST, 415, "a body that is neither form nor JSON")
    if isinstance(pairs, InvalidForm):
        return pairs
    fields = dict(pairs)
    if len(fields) != len(pairs):
        return InvalidForm(Problem.BAD_REQUEST, 400, "a field given twice")
    if _UNPRINTABLE.search("".join((*fields, *fields.values()))):
        return InvalidForm(Problem.BAD_INPUT, 422, "control characters in a field", fields.get("to"))
    return fields


async def read_body(request: web.Request, most: int) -> bytes | InvalidForm:
    """Read a body of at most `most` bytes."""
    too_large = InvalidForm(Problem.REQUEST_TOO_LARGE, 413, f"a body of more than {most} bytes")
    if (request.content_length or 0) > most:
        return too_large
    if hdrs.EXPECT in request.headers:
        continue_100.ask(request)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            return too_large
    return bytes(body)


def _form(body: bytes) -> list[tuple[str, str]] | InvalidForm:
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # too many fields, not ASCII, or escapes that are no UTF-8
        return InvalidForm(Problem.BAD_REQUEST, 400, "a form that does not parse")


def _json(body: bytes) -> list[tuple[str, str]] | InvalidForm:
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
    return plain


class _Pairs(list[tuple[str, object]]):
    """A JSON object whose names may occur twice."""
