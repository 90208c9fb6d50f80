"""Builds the security headers of the gateway's own answers.

Pure. Every own answer has the headers of `headers`, or, when it is a page, those of `page_headers`: no cache keeps it,
no other page frames it, and it sends no address to other sites.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from urllib.parse import urlsplit

from gateway.domain.tenant import Tenant

HSTS = "max-age=31536000"
VARY = "Accept, Accept-Language, Cookie"
_ORIGIN = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


@cache
def headers(*, secure: bool) -> Mapping[str, str]:
    """Returns the headers of an own answer that is not a page. `secure`: browsers reach the tenant by https."""
    policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return MappingProxyType({**_headers(policy, secure=secure), "Vary": VARY})


def page_headers(tenant: Tenant | None, nonce: str) -> dict[str, str]:
    """The headers of a page. Its policy allows the gateway's own style, script and picture files and the logo.

    A form may lead to a page of the tenant's named paths, or to Keycloak's sign-in page: browsers apply `form-action`
    to the redirect of its answer.
    """
    forms = " ".join(("'self'", *(tenant.form_origins if tenant else ())))
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
        f"img-src 'self'{_logo_origin(tenant)}; connect-src 'self'; form-action {forms}; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        **_headers(policy, secure=tenant is not None and tenant.secure),
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def clear_site_data(tenant: Tenant) -> str:
    """The value of `Clear-Site-Data` after which another user may use this browser (W3C Clear Site Data).

    It deletes pages of the apps from the cache, and what the apps store where the tenant says so. It does not name
    cookies: the gateway deletes its own one by one, and keeps those of the browser. Browsers obey it by https and on
    loopback names only.
    """
    return '"cache", "storage"' if tenant.clear_storage_at_sign_out else '"cache"'


def _headers(policy: str, *, secure: bool) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        **({"Strict-Transport-Security": HSTS} if secure else {}),
    }


def _logo_origin(tenant: Tenant | None) -> str:
    """The origin of the tenant's logo after a blank; nothing for an own logo, or for one that could end the policy."""
    url = urlsplit(tenant.branding.logo if tenant else "")
    known = url.scheme in ("https", "http") and _ORIGIN.fullmatch(url.netloc)
    return f" {url.scheme}://{url.netloc}" if known else ""
