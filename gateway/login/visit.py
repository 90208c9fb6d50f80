"""What one step or effect may know of the request that asked for it, as plain values.

Nothing in `login/` below `handlers` sees aiohttp.
"""

from dataclasses import dataclass, field

from gateway.domain.configuration import Configuration
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.second_factor.trusted_browsers import TrustCookie


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One request to the login pages.

    `tag` and `secret` are the parts of the login cookie (`secret` None without one; after an accepted proof the new
    one that the answer sets). `session` is the live session of this browser. `browser` is a text such as "Chrome on
    Windows"; `browser_id` the value of the browser cookie, which says who finished a login here and is never a proof.
    `app` is the prefix of the route the browser wants to go to, `route_asks` whether that route asks for a factor, `to`
    the checked target, `csrf` the token for the login forms of this browser, `form` the random id of the form that the
    answer shows, `trust` its trust cookie. `just_proved`: this answers the form that carried an accepted proof.
    """

    configuration: Configuration
    tenant: Tenant
    tag: str
    client: str
    host: str
    browser: str
    language: str
    request_id: str
    reference: str
    to: str
    csrf: str
    app: str
    route_asks: bool
    secret: str | None = field(default=None, repr=False)
    form: str = ""
    just_proved: bool = False
    session: Session | None = None
    browser_id: str | None = None
    trust: TrustCookie | None = None
