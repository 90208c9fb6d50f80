"""The section `sms_http:` of a channel: an SMS gateway that is called by HTTP.

Its templates are checked here, so that a value can never end the place in which it is written.
"""

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from annotated_types import Interval, MinLen
from pydantic import BeforeValidator, Field

from gateway.delivery.sms_http import authorized, content_type_of, is_json, placeholders
from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, Line, LongLine
from gateway.domain.sms_gateway import HttpMethod, SmsGateway, SmsOptions
from gateway.domain.urls import internal_host
from gateway.settings.files.service_section import ServiceSection, check_encryption
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.secret_refs import Resolver, SecretSource
from gateway.settings.source.validation import Section
from gateway.settings.source.yaml_source import Path

if TYPE_CHECKING:
    from gateway.settings.files.channels import ChannelSection

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_PAIR = re.compile(r'(?<!\s)\s*+"([^":]*+):([^"]*+)"\s*+(?:,|$)')
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


def headers_of(text: str) -> tuple[tuple[str, str], ...]:
    """The headers of a text as `"Name1:Value1", "Name2:Value2"`, which is Genesys' form."""
    found, end = [], 0
    while pair := _PAIR.match(text, end):
        found.append((pair[1].strip(), pair[2].strip()))
        end = pair.end()
    if text[end:].strip() or text.rstrip().endswith(","):
        raise ValueError('must be a list of name and value, or a text as "Name1:Value1", "Name2:Value2"')
    return tuple(found)


def _written(given: Any) -> Any:
    """A tuple of headers, also for a text in Genesys' form."""
    if isinstance(given, str):
        return tuple({"name": name, "value": value} for name, value in headers_of(given))
    return tuple(given) if isinstance(given, list) else given


class HeaderSection(Section):
    """One header of a request."""

    name: Line
    """Name of the header."""

    value: LongLine
    """Value of the header. It may contain {number}, {sender}, {username}, {password} and {token}."""


def _or_text(schema: dict[str, Any]) -> None:
    """Tells an editor of Genesys' form."""
    schema["anyOf"] = [{name: schema.pop(name) for name in ("type", "items")}, {"type": "string"}]


Headers = Annotated[tuple[HeaderSection, ...], BeforeValidator(_written), Field(json_schema_extra=_or_text)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsHttpSection(SmsOptions, ServiceSection):
    """An SMS gateway that is called by HTTP."""

    __pydantic_config__ = SECTION

    url: Annotated[str, MinLen(1)]
    """Address of the SMS gateway. It may contain {number}, {text}, {sender}, {username}, {password} and {token}."""

    headers: Headers = ()
    """Headers of the request: a list of name and value, or Genesys' text as "Name1:Value1", "Name2:Value2"."""

    password: SecretSource | None = None
    """Password of `username`. Where {password} is in a template, no Basic authentication is sent."""

    token: SecretSource | None = None
    """Secret of the account, sent as `Authorization: Bearer`, or where {token} is in a template."""

    timeout_ms: Annotated[int, Interval(ge=1, le=600_000)] | None = None
    """Maximum time for one call in milliseconds, as Genesys writes it. Replaces `timeout`."""

    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> SmsGateway:
        """See `ServiceSection`."""
        headers = tuple((header.name, header.value) for header in self.headers)
        built = authorized(
            SmsGateway(
                url=self.url,
                headers=headers,
                password=resolver.secret(self.password, (*at, "password")) if self.password else Secret(""),
                token=resolver.secret(self.token, (*at, "token")) if self.token else Secret(""),
                **{field.name: getattr(self, field.name) for field in fields(SmsOptions) if field.name != "timeout"},
                timeout=self.timeout_ms / 1000 if self.timeout_ms else self.timeout,
            )
        )
        _check_url(built, at, report)
        _check_headers(built, at, report)
        _check_body(built, at, report)
        _check_values(built, at, report)
        if channel.sender or channel.from_name or channel.subject or channel.relays:
            report.error(at, "is for texts: from, from_name, subject and relays are for mail; write sms_http.sender")
        if not built.success.reads_body:
            report.hint(
                (*at, "success"),
                "reads the status alone, but many SMS gateways answer 200 for a text that they reject: name json or "
                "starts_with",
            )
        return built


def _check_url(gateway: SmsGateway, at: Path, report: Diagnostics) -> None:
    here = (*at, "url")
    allowed = "must be an address as https://sms.example.com/send, without user and fragment"
    try:
        url = urlsplit(gateway.url)
        internal_host(url.hostname or "")
        plain = gateway.url.isascii() and gateway.url.isprintable() and not set(' \\"<>^`|') & set(gateway.url)
        if url.scheme not in ("http", "https") or url.username is not None or url.fragment or not plain:
            raise ValueError(allowed)
        _ = url.port
    except ValueError:
        report.error(here, allowed)
        return
    check_encryption(gateway.url, here, report)


def _check_headers(gateway: SmsGateway, at: Path, report: Diagnostics) -> None:
    here, seen = (*at, "headers"), set()
    for name, value in gateway.headers:
        if not _NAME.fullmatch(name):
            report.error(here, f"{name!r} is no name of a header")
        elif name.lower() in _OURS or name.lower() in seen:
            why = "is given twice" if name.lower() in seen else "is written by the gateway itself"
            report.error(here, f"{name} {why}")
        elif "text" in placeholders(value):
            report.error(here, f"{name} cannot have {{text}}, which has more than one line")
        seen.add(name.lower())


def _check_body(gateway: SmsGateway, at: Path, report: Diagnostics) -> None:
    content_type, here = content_type_of(gateway.headers), (*at, "body")
    if gateway.body and gateway.method is HttpMethod.GET:
        report.error(here, "is not sent with GET; write {number} and {text} into url")
    elif gateway.body and not content_type:
        report.error((*at, "headers"), "need Content-Type: it tells how the values in body are written")
    elif gateway.body and is_json(content_type):
        try:
            json.loads(gateway.body)
        except (ValueError, RecursionError):
            report.error(here, 'is no JSON; write each value in quotes, as "{number}"')


def _check_values(gateway: SmsGateway, at: Path, report: Diagnostics) -> None:
    """Reports values that are missing, or that no template uses."""
    used = placeholders(gateway.url, gateway.body, *(value for _, value in gateway.headers))
    if missing := [name for name in ("number", "text") if name not in used]:
        words = one_of(f"{{{name}}}" for name in missing)
        report.error((*at, "body"), f"has no {words}, nor has url; without it the SMS gateway cannot send the code")
    for name in sorted(used & {"sender", "username", "password", "token"}):
        if not getattr(gateway, name):
            report.error((*at, name), f"is missing: a template has {{{name}}}")
    if gateway.sender and "sender" not in used:
        report.error((*at, "sender"), "is not used: no template has {sender}")
    if bool(gateway.username) != bool(gateway.password):
        report.error(at, "username and password belong together; give both or none")
    own = any(name.lower() == "authorization" for name, _ in gateway.headers)
    sends = [name for name in ("password", "token") if getattr(gateway, name) and name not in used]
    if len(sends) + own > 1:
        report.error((*at, sends[0]), "would send the header Authorization twice; give one of password and token")
    for name in ("password", "token"):
        if not getattr(gateway, name).value.isprintable():
            report.error((*at, name), "must be one line without control characters")
