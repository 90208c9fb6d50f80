"""Puts the administration pages together, on the services that all features share."""

from aiohttp import web

from gateway.admin.pages.access import Access
from gateway.admin.pages.console import Console, Typed
from gateway.admin.pages.users import UserPages
from gateway.administration.user_recovery import UserRecovery
from gateway.services import Services
from gateway.web.endpoint import Endpoints


def routes(services: Services, endpoints: Endpoints, recovery: UserRecovery) -> list[web.RouteDef]:
    """The routes that `app` mounts."""
    access = Access(services.users, services.clock)
    typed = services.records("admin-form", Typed)
    console = Console(endpoints, access, typed, services.clock, services.random)
    return UserPages(services, recovery).routes(console)
