"""What may one act know of the request that asked for it?

Everything a step or effect may use of a request, as plain values: nothing in `login/` below `handlers` sees aiohttp.
"""

import hashlib
from dataclasses import dataclass

from gateway.domain.tenant import Tenant
from gateway.second_factor.trust import TrustCookie
from gateway.settings.snapshot import Configuration


def digest_of_secret(secret: str) -> str:
    """What `Visit.came_with` says of a cookie with this secret part."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the login pages.

    `tag` is the browser's part of the login cookie, `came_with` a digest of its secret part; `browser` a text such as
    "Chrome on Windows"; `browser_id` the value of the browser cookie, which says who finished a login here and is never
    a proof. `app` is the prefix of the route the browser wants to go to, `route_asks` whether that route asks for a
    factor, `to` the checked target, `csrf` the token for the forms of this browser, `trust` its trust cookie.
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
    came_with: str = ""
    browser_id: str | None = None
    trust: TrustCookie | None = None
