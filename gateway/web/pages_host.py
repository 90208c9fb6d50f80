"""The way between the hosts of a tenant's apps and its `pages_host`. Pure.

An app's host sets a cookie with a random value and redirects the browser to the pages' host, with its own name, the
digest of that value and the way back. All three are the *handover*: a path of the pages' host, to which a login there
leads as to any target.
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from gateway.domain.tenant import Tenant

HANDOVER = "handover"
"""The path below the gateway's prefix: the pages' host issues a ticket there, an app's host redeems it."""
_BINDING = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Handover:
    """A browser's way back to `to` at the app's host `host`; `binding` is the digest of its cookie there."""

    host: str
    binding: str
    to: str

    def target(self, prefix: str) -> str:
        """The path of the pages' host."""
        query = urlencode({"host": self.host, "binding": self.binding, "to": self.to}, quote_via=quote, safe="/")
        return f"{prefix}{HANDOVER}?{query}"


def digest(value: str) -> str:
    """The binding for the cookie with this value."""
    return hashlib.sha256(value.encode()).hexdigest()


def read(target: str, tenant: Tenant, prefix: str) -> Handover | None:
    """The handover that `target` means at the pages' host `tenant`; its way back is not checked yet."""
    url = urlsplit(target)
    if tenant.apps is None or url.path != f"{prefix}{HANDOVER}":
        return None
    query = parse_qs(url.query, keep_blank_values=True)
    host, binding, to = (query.get(name, ["", ""]) for name in ("host", "binding", "to"))
    if not len(host) == len(binding) == len(to) == 1:
        return None
    if host[0] not in tenant.apps.all_hosts or not _BINDING.fullmatch(binding[0]):
        return None
    return Handover(host[0], binding[0], to[0])
