"""The routes of a tenant: its apps, and the paths that reach them.

Routes are prefixes of whole segments, and the longest one wins. Two routes that mean the same, or one inside the
gateway's own pages, are errors.
"""

from dataclasses import replace

from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import EVERYONE, Route, decoded_segments, longest_match
from gateway.settings.files.gateway_section import GatewaySection
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.secret_refs import Resolver


def build_routes(
    section: GatewaySection, prefix: str, report: Diagnostics, resolver: Resolver, tls: TlsSettings
) -> tuple[Route, ...]:
    """Makes the routes, in their order; reports what is wrong."""
    if not section.routes:
        report.error(
            ("gateway", "routes"),
            "is missing: a tenant needs at least one route, in its gateway: section or in defaults: of gateway.yaml",
        )
    taken: dict[str, str] = {}
    routes: list[Route] = []
    for index, given in enumerate(section.routes):
        at = ("gateway", "routes", index)
        other = taken.get(given.path.lower())
        if other is None:
            taken[given.path.lower()] = given.path
        else:
            same = "is listed twice" if other == given.path else f"differs from {other} only by upper and lower case"
            report.error((*at, "path"), f"{given.path or '/'} {same}; every route needs a path of its own")
        own = prefix.rstrip("/")
        if own and (given.path == own or given.path.startswith(prefix)):
            report.error((*at, "path"), f"{given.path} lies in the gateway's own pages ({prefix})")
        if not given.identity:
            report.error((*at, "identity"), "is empty; allowed: any of bearer, cookie, headers")
        if given.allow == EVERYONE and given.allow is not EVERYONE:
            report.error((*at, "allow"), "is empty; name roles or groups, or leave allow out for every signed-in user")
        name = given.name or given.path.strip("/") or "app"
        routes.append(replace(given, name=name, tls=resolver.tls(given.tls, (*at, "tls"), tls)))
    for index, path in enumerate(section.public_paths):
        if path.startswith(prefix):
            report.error(("gateway", "public_paths", index), f"lies in the gateway's own pages ({prefix})")
        elif routes and longest_match(routes, decoded_segments(path)) is None:
            report.error(("gateway", "public_paths", index), "is on no route")
    return tuple(routes)
