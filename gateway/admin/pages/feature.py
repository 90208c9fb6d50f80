"""Puts the administration pages together, on the services that all features share."""

from aiohttp import web

from gateway.admin.pages.access import Access
from gateway.admin.pages.console import Console, Typed
from gateway.admin.pages.contact import ContactPages
from gateway.admin.pages.events import Events
from gateway.admin.pages.policy import PolicyPages
from gateway.admin.pages.progress import Progress
from gateway.admin.pages.users import UserPages
from gateway.admin.tenants import SettingsFiles, Tenants
from gateway.administration.user_recovery import UserRecovery
from gateway.services import Services
from gateway.web.endpoint import Endpoints


def routes(
    services: Services, endpoints: Endpoints, recovery: UserRecovery, settings: SettingsFiles | None
) -> list[web.RouteDef]:
    """The routes that `app` mounts."""
    access = Access(services.users, services.clock)
    typed = services.records("admin-form", Typed)
    console = Console(endpoints, access, typed, services.clock, services.random)
    events = Events(services)
    return [
        *UserPages(services, recovery, events).routes(console),
        *ContactPages(services, recovery).routes(console),
        *Progress(services).routes(console),
        *events.routes(console),
        *PolicyPages(Tenants(services.configuration, services.lock, settings)).routes(console),
    ]
