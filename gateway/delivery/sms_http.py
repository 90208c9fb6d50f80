"""Sends texts through an SMS gateway that is called by HTTP.

URL, headers and body of the request are templates of the operator. Each value is written in the form of its place, so
that no number and no text can end a JSON string, a form field, an XML element or a part of the URL. A text is sent only
if the response matches `Success`; any other response is a failure, whatever its status.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from gateway.delivery.http_calls import Answer, HttpCall, HttpCalls, NoAnswer
from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.sms_gateway import SmsGateway, Success
from gateway.rendering.text_messages import is_gsm

FORM = "application/x-www-form-urlencoded"
PLACEHOLDER = re.compile(r"\{(number|text|encoding|sender|username|password|token)\}")
Escape = Callable[[str], str]


async def send(calls: HttpCalls, gateway: SmsGateway, number: str, text: str, tls_key: str = "tls") -> NoAnswer | None:
    """Sends `text` to `number` (E.164). None: the gateway accepted it; else why it did not."""
    answer = await calls.send(call_for(gateway, number, text, tls_key))
    if isinstance(answer, NoAnswer):
        return answer
    return None if is_success(gateway.success, answer) else NoAnswer(f"response with status {answer.status}: not sent")


def call_for(gateway: SmsGateway, number: str, text: str, tls_key: str = "tls") -> HttpCall:
    """The request that sends `text` to `number`."""
    values = {
        "number": number if gateway.plus_symbol else number.removeprefix("+"),
        "text": text,
        "encoding": "text" if is_gsm(text) else "unicode",
        "sender": gateway.sender,
        "username": gateway.username,
        "password": gateway.password.value,
        "token": gateway.token.value,
    }
    headers = [(name, filled(value, values, str)) for name, value in gateway.headers]
    if gateway.authorization:
        headers.append(("Authorization", gateway.authorization.value))
    return HttpCall(
        gateway.method.value,
        filled(gateway.url, values, _in_url),
        gateway.timeout,
        headers,
        filled(gateway.body, values, escape_for(content_type_of(gateway.headers), gateway.body)).encode(),
        gateway.tls or TlsSettings(),
        tls_key,
    )


def authorized(gateway: SmsGateway) -> SmsGateway:
    """The gateway with the header `Authorization` of its account, unless a template has the secret."""
    used = placeholders(gateway.url, gateway.body, *(value for _, value in gateway.headers))
    if gateway.password and "password" not in used:
        pair = f"{gateway.username}:{gateway.password.value}".encode()
        return replace(gateway, authorization=Secret(f"Basic {base64.b64encode(pair).decode()}"))
    if gateway.token and "token" not in used:
        return replace(gateway, authorization=Secret(f"Bearer {gateway.token.value}"))
    return gateway


def is_success(rule: Success, answer: Answer) -> bool:
    """Whether `answer` means that the text is sent."""
    if not (answer.status in rule.status if rule.status else answer.succeeded):
        return False
    if rule.starts_with and not (answer.text() or "").startswith(rule.starts_with):
        return False
    found = answer.json_object() if rule.json else {}
    return found is not None and all(_holds(found, path, wanted) for path, wanted in rule.json.items())


def placeholders(*templates: str) -> frozenset[str]:
    """The names of the values in these templates."""
    return frozenset(name for template in templates for name in PLACEHOLDER.findall(template))


def filled(template: str, values: Mapping[str, str], write: Escape) -> str:
    """`template` with its values, each as `write` makes it. No value is read as a template."""
    return PLACEHOLDER.sub(lambda found: write(values[found[1]]), template)


def content_type_of(headers: Any) -> str:
    """The media type in these headers, lower case and without parameters; "" for none."""
    found = next((value for name, value in headers if name.lower() == "content-type"), "")
    return found.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a body of this type is JSON."""
    return content_type == "application/json" or content_type.endswith("+json")


def escape_for(content_type: str, template: str) -> Escape:
    """The form of a value in a body of this type."""
    if is_json(content_type):
        return lambda value: json.dumps(value)[1:-1]
    if content_type == FORM:
        return quote_plus
    if content_type.endswith(("/xml", "+xml")):
        return _in_xml
    # In plain text a line break would begin another line of the template, unless the value is the end of it.
    return str if template.endswith("{text}") else lambda value: " ".join(value.split())


def _in_url(value: str) -> str:
    return quote(value, safe="")


def _in_xml(value: str) -> str:
    """Characters outside ASCII as references, which every encoding of a document has."""
    return escape(value, {'"': "&quot;", "'": "&apos;"}).encode("ascii", "xmlcharrefreplace").decode()


def _holds(found: Any, path: str, wanted: Any) -> bool:
    """Whether the value at `path` is `wanted` or one of them, and of the same type: `true` is no `1`."""
    for part in path.split("."):
        if isinstance(found, Mapping):
            if part not in found:
                return False
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return False
    allowed = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(type(found) is type(one) and found == one for one in allowed)
