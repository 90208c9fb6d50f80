"""Three XML web services of a tenant: which contacts are verified, send a code, check a code."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from annotated_types import Interval, MaxLen

from gateway.domain.channel import HttpService
from gateway.domain.setting_types import SECTION, Line, ServiceAddress, like
from gateway.domain.sms_gateway import HttpMethod
from gateway.domain.user import User

_PARAMETER = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
ParameterName = Annotated[
    str, like(_PARAMETER, "must be a name of letters, digits and _ . : -, as TwoFactorAuthSelectedMethod")
]


class ServiceSet(Enum):
    """The URLs that are in use."""

    PRODUCTION = "production"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebService:
    """One web service."""

    __pydantic_config__ = SECTION

    production: ServiceAddress
    """Address of the service for real users."""

    test: ServiceAddress | None = None
    """Address of the service for tests. Needed with `live: test`."""

    method: HttpMethod = HttpMethod.POST
    """GET sends the parameters in the address, POST and PUT as a form."""

    customer_parameter: ParameterName
    """Name of the parameter that identifies the user."""

    customer_attribute: Annotated[str, MaxLen(100)] = ""
    """Attribute of the user in Keycloak that identifies them, as accountNumber. Default: the user name."""

    def url(self, live: ServiceSet) -> str:
        """The address in use."""
        return self.test if live is ServiceSet.TEST and self.test else self.production

    def customer(self, user: User) -> str:
        """The value that identifies `user`, "" for a user without the attribute."""
        return user.attribute(self.customer_attribute) if self.customer_attribute else user.username


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices(HttpService):
    """The web services of one channel, and what the gateway must know of their codes."""

    __pydantic_config__ = SECTION

    live: ServiceSet
    """Addresses in use, for all services of this channel: production or test."""

    check: WebService
    """Web service checkVerifiedContactMethods: the verified contact methods of a user."""

    send: WebService | None = None
    """Web service sendAuthenticationCode. Needed with `codeGeneration: EXTERNAL`."""

    code: WebService | None = None
    """Web service codeAuthentication. Needed with `codeGeneration: EXTERNAL`."""

    method_parameter: ParameterName = "TwoFactorAuthSelectedMethod"
    """Name of the parameter of sendAuthenticationCode with the chosen method: Email or SMS."""

    code_parameter: ParameterName = "authCode_nbest1"
    """Name of the parameter of codeAuthentication with the code."""

    email_attribute: Annotated[str, MaxLen(100)] = ""
    """Attribute of the user in Keycloak with their mail address, where the check service tells none. Default: the
    verified address of the user."""

    prompt: Line = ""
    """Name of the external app that shows codes, for the pages. Default: a translated text."""

    code_timeout_ms: Annotated[int, Interval(ge=1000, le=86_400_000)] | None = None
    """Milliseconds after which a code of the service is no longer valid. Needed with `codeGeneration: EXTERNAL`."""

    code_digits: Annotated[int, Interval(ge=4, le=10)] | None = None
    """Number of digits of a code of the service. Default: unknown, so that the page takes 4 to 10."""

    @property
    def code_life(self) -> float:
        """Seconds from the request for a code to its end; 0 where nothing is known, so that no code is accepted."""
        return (self.code_timeout_ms or 0) / 1000

    @property
    def services(self) -> tuple[WebService, ...]:
        """Those that are configured."""
        return tuple(one for one in (self.check, self.send, self.code) if one)

    @property
    def attributes(self) -> frozenset[str]:
        """The attributes of a user that are needed."""
        names = (self.email_attribute, *(one.customer_attribute for one in self.services))
        return frozenset(names) - {""}
