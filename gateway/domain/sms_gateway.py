"""An SMS gateway that is called by HTTP: its address, its request and the answer that means "sent"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from annotated_types import Interval

from gateway.domain.channel import HttpService
from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, Line

Scalar = str | int | bool | None


class HttpMethod(Enum):
    """A method of a request that asks for something to be done."""

    POST = "POST"
    GET = "GET"
    PUT = "PUT"


@dataclass(frozen=True, slots=True)
class Success:
    """The response that means that a text is sent. Every key that is given must match; no other response counts."""

    __pydantic_config__ = SECTION

    status: tuple[Annotated[int, Interval(ge=200, le=299)], ...] = ()
    """Statuses of the response, as [200, 202]. Default: 200 to 299."""

    json: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict, hash=False)
    """Values in the JSON object of the response, each by its path, as {messages.0.status: "0"}. A list names the
    allowed ones. `"0"` is a text and `0` a number."""

    starts_with: Line = ""
    """Beginning of the response, for gateways that answer in plain text, as "ID:"."""

    @property
    def reads_body(self) -> bool:
        """Whether the body of the response matters."""
        return bool(self.json or self.starts_with)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsOptions(HttpService):
    """The keys of `sms_http:` whose values are used as the file has them."""

    __pydantic_config__ = SECTION

    method: HttpMethod = HttpMethod.POST
    """Method of the request: POST, GET or PUT."""

    body: str = ""
    """Body of the request with {number}, {text} and {sender}, for some gateways also {encoding}, which is `text` or
    `unicode`. The gateway writes each value as the header `Content-Type` demands: JSON, a form, XML, or plain text.
    Default: no body."""

    plus_symbol: bool = True
    """Whether the number has a plus sign before the country code."""

    sender: Line = ""
    """Number or name from which the text comes: {sender} in `url`, `headers` and `body`."""

    username: Line = ""
    """User name at the SMS gateway, sent with `password` as Basic authentication, or as {username} and {password}."""

    success: Success = Success()
    """Response that means that the text is sent."""

    price: Annotated[float, Interval(ge=0, le=1000)] = 0.0
    """Price of one part of a text, in any currency, for the estimated cost in the metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsGateway(SmsOptions):
    """One SMS gateway. `url`, `body` and the values of `headers` are templates (`gateway.delivery.sms_http`).

    `authorization` is the value of that header, made of the account.
    """

    url: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    password: Secret = Secret("")
    token: Secret = Secret("")
    authorization: Secret = Secret("")
