"""What does the gateway know of the request it is answering?

Typed keys, written once by the outermost middleware (`web.failures` reads them for the error page too) and read by
every handler.
"""

from collections.abc import Callable

from aiohttp import web

from gateway.domain.configuration import Configuration
from gateway.domain.tenant import Tenant

CONFIGURATION_SOURCE: web.AppKey[Callable[[], Configuration]] = web.AppKey("configuration_source")
"""Gives the configuration in force now; called once per request."""

CONFIGURATION = web.RequestKey("configuration", Configuration)
TENANT = web.RequestKey("tenant", Tenant)
CLIENT_ADDRESS = web.RequestKey("client_address", str)
"""The address of the client as far as it can be known: the socket's, or what a trusted proxy says."""

REQUEST_ID = web.RequestKey("request_id", str)
REFERENCE = web.RequestKey("reference", str)
"""The short code on problem pages, in JSON, mails, log and audit (GW-30)."""

LANGUAGE = web.RequestKey("language", str)
"""The language of the answer, one of the offered ones."""

NONCE = web.RequestKey("nonce", str)
"""The CSP nonce of the page."""
