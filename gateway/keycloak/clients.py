"""Provides the HTTP clients for each realm.

There is one set of clients for each `KeycloakAccess` value: a connection for grants, and python-keycloak for the admin
API. A changed setting is another value and so gets other clients; `retain` closes those of unused values.

Every call ends within the timeout of its access. Every failure is one of the four errors of `domain.errors`, with a
text for operators and without a secret. The environment's proxies are ignored, so that credentials are sent only to
the configured address.
"""

import asyncio
import importlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import ClientError

from gateway.crypto.tls import client_context, trusts_nothing
from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import KeycloakAccess
from gateway.keycloak import admin_client
from gateway.keycloak.connection import BadStatus, Connection
from gateway.keycloak.http_errors import URL, admin_error, bad_status, no_keycloak, not_connected, where

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin


@dataclass(slots=True)
class RealmClients:
    """The clients of one access value. Each form that `grants` sends needs the credentials of `client_form`."""

    context: ssl.SSLContext
    grants: Connection
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    admin: "KeycloakAdmin | None" = None


class KeycloakClients:
    """The clients of all realms. Build it once, and `close` it at the end."""

    def __init__(self) -> None:
        self._clients: dict[KeycloakAccess, RealmClients] = {}
        self._retired: list[RealmClients] = []
        self._library: Any = None

    @asynccontextmanager
    async def asking(self, access: KeycloakAccess, what: str) -> AsyncIterator[RealmClients]:
        """The realm's clients. Limits the time of the calls inside, and maps HTTP errors.

        `what` names the operation, for messages.
        """
        clients = self._clients.get(access) or self._opened(access)
        try:
            async with asyncio.timeout(access.timeout):
                yield clients
        except TimeoutError as error:
            detail = f"{what}: no response within {access.timeout:g} s; check {URL}"
            raise errors.Unreachable(where(access), detail) from error
        except BadStatus as error:
            raise bad_status(access, what, error.answer.status_code, error.answer.content) from error
        except (ClientError, OSError) as error:
            raise not_connected(access, what, error) from error
        except (ValueError, TypeError, KeyError) as error:  # a body that is no JSON, or JSON of another shape
            raise no_keycloak(access, what) from error

    async def get_json(self, access: KeycloakAccess, path: str, what: str) -> Any:
        """The JSON at a public path of the realm (`protocol/openid-connect/certs`)."""
        async with self.asking(access, what) as clients:
            answer = await clients.grants.get(realm_url(access, path), headers=request_id())
            answer.raise_for_status()
            return answer.json()

    @asynccontextmanager
    async def administration(self, access: KeycloakAccess, what: str) -> AsyncIterator["KeycloakAdmin"]:
        """python-keycloak with a fresh token; use only its `a_…` calls. Time limit and errors are those of `asking`.

        Raises `Declined` for 400, 404 and 409, `Refused` for 401 and 403.
        """
        library = await self._administrators_library()
        async with self.asking(access, what) as clients:
            async with clients.renewing:
                if clients.admin is None:
                    clients.admin = await admin_client.choose(access, clients.context, library)
                admin = clients.admin
                token, expires_at = admin.connection.token, admin.connection.expires_at
                if not token or not expires_at or datetime.now(UTC) >= expires_at:
                    await admin_client.renew_token(access, admin, library)
            try:
                yield admin
            except library.exceptions.KeycloakError as error:
                raise admin_error(access, what, error) from error

    async def _administrators_library(self) -> Any:
        """python-keycloak. Its import takes a second or more: do it at the first use, and outside the event loop."""
        if self._library is None:
            self._library = await asyncio.to_thread(importlib.import_module, "keycloak")
        return self._library

    async def retain(self, accesses: Iterable[KeycloakAccess]) -> None:
        """Retire the clients of all other values.

        The next call closes them, one reload later, because a login that pinned the old settings may still use them.
        """
        keep = frozenset(accesses)
        retired, self._retired = self._retired, []
        for access in [access for access in self._clients if access not in keep]:
            self._retired.append(self._clients.pop(access))
        for clients in retired:
            await clients.grants.aclose()
            if clients.admin is not None:
                await admin_client.close(clients.admin)

    async def close(self) -> None:
        """Close every connection."""
        await self.retain(())
        await self.retain(())

    def _opened(self, access: KeycloakAccess) -> RealmClients:
        context = _tls_context(access)
        grants = Connection(context, _issuer_headers(access))
        clients = self._clients[access] = RealmClients(context, grants)
        return clients


def request_id() -> dict[str, str]:
    """The header that names the request that is answered now, so that Keycloak's log leads to the gateway's."""
    ident = structlog.contextvars.get_contextvars().get("request_id")
    return {"X-Request-ID": ident} if ident else {}


def client_form(access: KeycloakAccess) -> dict[str, str]:
    """The sign-in client's credentials as form fields.

    They are in the form, because servers decode special characters in Basic authentication differently. The gateway
    adds them itself, because authlib's own way fails on a form with characters outside ASCII (1.9.9), as in passwords.
    """
    form = {"client_id": access.sign_in.client_id, "client_secret": access.sign_in.secret.value}
    return {name: value for name, value in form.items() if value}


def realm_url(access: KeycloakAccess, path: str) -> str:
    """The URL of a path below the realm."""
    return f"{access.url}realms/{quote(access.realm, safe='')}/{path}"


def user_path(user_id: str) -> str:
    """A user's id, quoted for a path: python-keycloak inserts it unchanged, and it must stay within its segment."""
    if user_id in {"", ".", ".."}:
        raise ValueError("not a user's id")
    return quote(user_id, safe=":")


def forwarded_for(access: KeycloakAccess, client_address: str) -> dict[str, str]:
    """The header with the client's address, for Keycloak's log and limits (with `--proxy-headers=xforwarded`).

    With `sslRequired: external` Keycloak answers 403 to a public address over http (measured), and the scheme that it
    sees is the issuer's (`_issuer_headers`). So if the issuer is http, only private addresses are sent.
    """
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return {}
    if not access.issuer.startswith("https:") and not (address.is_private or address.is_loopback):
        return {}
    return {"X-Forwarded-For": str(address)}


def _issuer_headers(access: KeycloakAccess) -> dict[str, str]:
    """Scheme and host of the expected issuer, on every call of the grant client.

    A Keycloak with `hostname-strict=false` and `--proxy-headers=xforwarded` builds the issuer from these; without them
    tokens fetched by an internal URL would name that URL (measured on 26.7.3, with `forwarded_for`). Any other Keycloak
    ignores them.
    """
    issuer = urlsplit(access.issuer)
    return {"X-Forwarded-Proto": issuer.scheme, "X-Forwarded-Host": issuer.netloc} if issuer.netloc else {}


def _tls_context(access: KeycloakAccess) -> ssl.SSLContext:
    tls = access.tls
    if urlsplit(access.url).scheme == "http" and tls == TlsSettings():
        return trusts_nothing()
    try:
        return client_context(tls)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(name for name in (tls.ca_file, tls.certificate_file, tls.key_file) if name)
        raise errors.Misconfigured(where(access), f"tls.keycloak: {files}: {error}") from error
