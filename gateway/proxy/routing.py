"""Finds the app of a path, and the target that the app gets.

Pure. Routes match whole segments, the longest first; public paths match exactly. `blocked_endpoints` says which paths
the gateway never forwards.
"""

from dataclasses import dataclass

from gateway.domain.problem import Problem
from gateway.domain.tenant import Route, Tenant, longest_match
from gateway.proxy.blocked_endpoints import folded, is_blocked
from gateway.web.request_check import Checked


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request and the target that its app gets. `public`: without session and identity."""

    route: Route
    target: str
    public: bool = False


def find(checked: Checked, tenant: Tenant, prefix: str) -> RouteMatch | Problem:
    """Find the route of `checked`. `prefix` is the gateway's own (`/-/`), which no route can cover.

    `NOT_FOUND`: no route, or the gateway's own prefix. `BAD_REQUEST`: `//` or `%2f` on a route that does not take them.
    `SIGN_IN_HERE`: a blocked endpoint of an app.
    """
    if tenant.apps is not None:
        return Problem.NOT_FOUND  # a host of pages alone
    segments = checked.segments
    own = folded(tuple(prefix.split("/")))
    if folded(segments)[: len(own)] == own:
        return Problem.NOT_FOUND
    route = longest_match(tenant.routes, segments)
    if route is None:
        return Problem.NOT_FOUND
    if checked.odd_slashes and not route.allow_encoded_slash:
        return Problem.BAD_REQUEST
    target = upstream_target(route, checked)
    if is_blocked(segments) or is_blocked(tuple(target.partition("?")[0].split("/"))):
        return Problem.SIGN_IN_HERE
    public = checked.method in ("GET", "HEAD") and not checked.upgrade and checked.path in tenant.public_paths
    return RouteMatch(route, target, public)


def upstream_target(route: Route, checked: Checked) -> str:
    """The target for the app: the bytes of the request, less the prefix where the route strips it."""
    path = upstream_path(route, checked.path)
    return path if checked.query is None else f"{path}?{checked.query}"


def upstream_path(route: Route, path: str) -> str:
    """The path for the app."""
    if route.strip_prefix:
        before = 1 + len(route.path_segments)
        path = "/" + "".join(path.split("/", before)[before:])
    return route.base_path + path
