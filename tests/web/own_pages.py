"""The pages, errors and middleware of a running gateway, for tests that need an application."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.observe.audit import Audit
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.templates import build_environments
from gateway.web.assets import Assets
from gateway.web.csrf import PURPOSE, Csrf
from gateway.web.endpoint import Endpoints
from gateway.web.error_responses import ErrorResponses
from gateway.web.middleware import RequestMiddleware
from gateway.web.pages import Pages
from tests.clock import FakeClock, SeededRandom

ROOT: Path = data_root()


def pages() -> Pages:
    """Returns pages with the real templates, in English."""
    languages = load_languages(ROOT / "locales", ["en"])
    return Pages(build_environments(ROOT, languages), languages, Assets(ROOT / "static"), SeededRandom())


def failures() -> ErrorResponses:
    """Returns failures with the real templates, and a clock that does not advance."""
    return ErrorResponses(pages())


def configuration(*tenants: Tenant, trusted: tuple[IPv4Network | IPv6Network, ...] = ()) -> Configuration:
    """Returns the configuration of a gateway for `tenants`, in memory and on loopback."""
    gateway = GatewaySettings(
        listen=Address("127.0.0.1", 0),
        operations=Address("127.0.0.1", 0),
        store=StoreSettings(Secret("memory://")),
        trusted_proxies=trusted,
    )
    return Configuration(gateway=gateway, tenants=tenants)


def application(of: Configuration) -> web.Application:
    """Returns an application with the gateway's middleware, and without routes."""
    middleware = RequestMiddleware(lambda: of, failures(), pages(), SeededRandom())
    return web.Application(middlewares=[middleware.handle])


def endpoints(sessions: object = None, tell: Callable[[str], None] | None = None) -> Endpoints:
    """Returns own endpoints below `/-/`: `sessions` is for those that need one, `tell` gets the audit events."""
    csrf = Csrf(Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE))
    return Endpoints("/-/", failures(), pages(), cast(Any, sessions), csrf, Audit(FakeClock(), tell=tell))
