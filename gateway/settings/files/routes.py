"""Builds the routes of a tenant: its apps, and the paths that reach them.

Routes are prefixes of whole segments, the longest one counts; two that mean the same, or that reach into the gateway's
own pages, are errors.
"""

from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import Route, Timeouts, decoded_segments, longest_match
from gateway.settings.files.gateway_section import GatewaySection, RouteSection
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.resolve import Resolver


def build_routes(
    section: GatewaySection, prefix: str, report: Diagnostics, opener: Resolver, tls: TlsSettings
) -> tuple[Route, ...]:
    """The routes in their order; what is wrong goes to `report`."""
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
        routes.append(_route(given, opener.tls(given.tls, (*at, "tls"), tls)))
    for index, path in enumerate(section.public_paths):
        if path.startswith(prefix):
            report.error(("gateway", "public_paths", index), f"lies in the gateway's own pages ({prefix})")
        elif routes and longest_match(routes, decoded_segments(path)) is None:
            report.error(("gateway", "public_paths", index), "is on no route")
    return tuple(routes)


def _route(given: RouteSection, tls: TlsSettings) -> Route:
    return Route(
        path=given.path,
        to=given.to,
        strip_prefix=given.strip_prefix,
        second_factor=given.second_factor,
        identity=frozenset(given.identity),
        name=given.name or given.path.strip("/") or "app",
        timeouts=Timeouts(given.timeouts.connect, given.timeouts.first_byte, given.timeouts.between_bytes),
        tls=tls,
        max_body=given.max_body,
        allow_encoded_slash=given.allow_encoded_slash,
        service_worker=given.service_worker,
    )


def check_home(home: str, routes: tuple[Route, ...], report: Diagnostics) -> str:
    """`home`, which must be on a route."""
    if routes and longest_match(routes, decoded_segments(home)) is None:
        paths = ", ".join(route.path or "/" for route in routes)
        report.error(("gateway", "home"), f"{home} is on no route; routes: {paths}")
    return home
