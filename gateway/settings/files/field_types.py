"""What is a section of a settings file made of?

The strict base of every section and the small types that several use: an unknown key is an error, a word is never
taken for a number, and every field's docstring is its line in the settings reference and in the JSON Schema.
"""

from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from gateway.settings.files import urls

E = TypeVar("E", bound=Enum)


class Section(BaseModel):
    """A section in which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class ForeignSection(BaseModel):
    """A section of EFCX's own object: keys that the gateway does not use are kept and ignored."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, use_attribute_docstrings=True)


Choice = Annotated[E, Field(strict=False)]
"""An enum written as its value."""


def seen_as(*words: str, pattern: str = "") -> WithJsonSchema:
    """What an editor knows of a text whose check it cannot run: the words that may stand there, or their pattern."""
    return WithJsonSchema({"type": "string", **({"enum": list(words)} if words else {"pattern": pattern})})


_WEB = "^[Hh][Tt][Tt][Pp][Ss]?://[^ ]+$"
HostName = Annotated[str, AfterValidator(urls.host_name), seen_as(pattern="^[A-Za-z0-9.-]+$")]
Origin = Annotated[str, AfterValidator(urls.origin), seen_as(pattern=_WEB)]
BaseUrl = Annotated[str, AfterValidator(urls.base_url), seen_as(pattern=_WEB)]
Upstream = Annotated[str, AfterValidator(urls.upstream), seen_as(pattern=_WEB)]
Link = Annotated[str, AfterValidator(urls.link), seen_as(pattern="^([Hh][Tt][Tt][Pp][Ss]?://|/)")]
RoutePath = Annotated[str, AfterValidator(urls.route_path), seen_as(pattern="^/")]
OwnPath = Annotated[str, AfterValidator(urls.own_path), seen_as(pattern="^/")]


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError("must be an address or a network as 10.0.0.0/8") from error
    return text


def networks(texts: list[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Checked addresses and networks as values."""
    return tuple(ip_network(text) for text in texts)


_JOINERS = str.maketrans("", "", "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}\N{NO-BREAK SPACE}")
"""Cannot be seen either, and stand in names: the first two are how Urdu, Persian and Hindi words are spelt."""


def _one_line(text: str) -> str:
    if not text.translate(_JOINERS).isprintable():
        raise ValueError("must be one line without control characters")
    return text


Line = Annotated[str, AfterValidator(_one_line), Field(max_length=200)]
Name = Annotated[str, AfterValidator(_one_line), Field(max_length=100)]
"""Of a tenant: it stands in the subject of mails, which has 200 characters."""
Network = Annotated[str, AfterValidator(_network), seen_as(pattern="^[0-9A-Fa-f.:]+(/[0-9.]+)?$")]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class TlsSection(Section):
    """Trust and identity of outgoing connections; PEM files, relative to the folder of `gateway.yaml`."""

    ca_file: str | None = None
    """Certificates of the authorities to trust, instead of the system's."""

    certificate_file: str | None = None
    """The gateway's own certificate (with its chain), shown to the other side."""

    key_file: str | None = None
    """The private key of `certificate_file`; may stand in that file."""
