"""Typed keys for what the gateway knows of a request.

`web.middleware` writes each of them once, before a handler runs. Only `LANGUAGE` waits until a page needs it.
"""

from aiohttp import web

from gateway.domain.configuration import Configuration
from gateway.domain.tenant import Tenant
from gateway.web.request_check import Checked

CHECKED = web.RequestKey("checked", Checked)
"""The request in its one reading."""

CONFIGURATION = web.RequestKey("configuration", Configuration)
TENANT = web.RequestKey("tenant", Tenant)
CLIENT_ADDRESS = web.RequestKey("client_address", str)
"""The address of the client as far as it can be known: the socket's, or what a trusted proxy says."""

REQUEST_ID = web.RequestKey("request_id", str)
REFERENCE = web.RequestKey("reference", str)
"""The short code on problem pages, in JSON, mails, log and audit."""

LANGUAGE = web.RequestKey("language", str)
"""The language of the answer, one of the offered ones."""
