"""Checks the target of a browser after a login.

Pure. The target is a path of the tenant's own origin. It is accepted only if every reader of URLs (RFC 3986 and the
browsers' WHATWG rules, which ignore tabs and line breaks and take `\\` for `/`) sees a path in it. For all others the
target is the tenant's home, never an error.
"""

import re
from dataclasses import replace
from urllib.parse import quote, unquote

from gateway.domain.tenant import Tenant
from gateway.web import pages_host

MAX_TARGET = 4096
OWN_PAGES = ("account", "admin")
"""Pages under our own prefix that a login may lead back to; the others are steps or endings themselves."""

SIGNED_OUT = "signed-out"
"""The query of `/-/login` after a sign-out, for the page to say so. Any link may carry it; it changes nothing else."""

_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_SECOND_SLASH = re.compile(r"/(?:[/\\]|%2f|%5c)", re.IGNORECASE)
_KEPT = "/:?#[]@!$&'()*+,;=%-._~"


def check(target: str | None, tenant: Tenant, prefix: str = "/-/") -> str:
    """`target` as an ASCII path (with query and fragment) of the tenant's own origin, else `tenant.home`.

    At a host of pages alone, it is one of those pages, or a handover whose own target is checked likewise.
    """
    path = same_origin_path(target)
    if tenant.apps is not None and path is not None:
        if handover := pages_host.read(path, tenant, prefix):
            return replace(handover, to=check(handover.to, tenant.apps, prefix)).target(prefix)
        return path if path.startswith(prefix) and not _is_own(path, prefix) else tenant.home
    return tenant.home if path is None or _is_own(path, prefix) else path


def same_origin_path(target: str | None) -> str | None:
    """`target` in ASCII if no reader of URLs can see anything but a path (with query and fragment) in it."""
    if not target or len(target) > MAX_TARGET or not target.startswith("/") or _UNSEEN.search(target):
        return None
    path = _path_of(target)
    if "\\" in path or "//" in path or _SECOND_SLASH.match(path) or _DOTS.search(path):
        return None
    return quote(target, safe=_KEPT)


def _path_of(target: str) -> str:
    return target.partition("?")[0].partition("#")[0]


def _is_own(target: str, prefix: str) -> bool:
    """Whether `target`, however spelled, is under our prefix and not one of the pages a login may lead to."""
    plain = unquote(unquote(_path_of(target))).lower()
    if not f"{plain}/".startswith(prefix):
        return False
    return plain.removeprefix(prefix).split("/", 1)[0] not in OWN_PAGES
