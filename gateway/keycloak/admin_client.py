"""As whom does the gateway administer a realm, and with a token that is fresh?

python-keycloak, set up so that it asks for one token and not for one per call, and leaves the environment's proxies
alone. Its import is the heaviest of all (a second and more): only `Connections.administration` imports it, when first
needed and not on the event loop.
"""

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.domain import errors
from gateway.domain.tenant import AdminUser, Credentials, KeycloakAccess
from gateway.keycloak.error_mapping import admin_error, bad_status

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin
    from keycloak.connection import ConnectionManager


async def choose(access: KeycloakAccess, context: ssl.SSLContext, library: Any) -> "KeycloakAdmin":
    """The access's administrator; its fallback where that one may not sign in as such, or not write users."""
    first = _administrator(access, access.administration, context)
    if access.administration_fallback is None:
        return first
    try:
        if await _can_do_its_work(access, first, library):
            return first
    except BaseException:
        await close(first)
        raise
    await close(first)
    return _administrator(access, access.administration_fallback, context)


async def _can_do_its_work(access: KeycloakAccess, admin: "KeycloakAdmin", library: Any) -> bool:
    try:
        await warm(access, admin, library)
        return await may_write_users(access, admin)
    except errors.Refused:
        return False
    except library.exceptions.KeycloakError as error:
        raise admin_error(access, "checking the administrator", error) from error


async def may_write_users(access: KeycloakAccess, admin: "KeycloakAdmin") -> bool:
    """Tried with a user without a name, which Keycloak refuses (400) to those who may write users as well (403)."""
    # Not a_create_user: that looks the name up first.
    answer = await admin.connection.a_raw_post(f"admin/realms/{access.realm}/users", data="{}")
    if answer.status_code not in {400, 403}:
        raise bad_status(access, "checking the administrator", answer.status_code)
    return answer.status_code == 400


async def close(admin: "KeycloakAdmin") -> None:
    """Close its connections."""
    await admin.connection.keycloak_openid.connection.aclose()
    await admin.connection.aclose()


def _administrator(access: KeycloakAccess, who: Credentials | AdminUser, context: ssl.SSLContext) -> "KeycloakAdmin":
    from keycloak import KeycloakAdmin, KeycloakOpenIDConnection  # noqa: PLC0415 - see above

    client = who if isinstance(who, Credentials) else who.client
    connection = KeycloakOpenIDConnection(
        server_url=access.url,
        realm_name=access.realm,
        user_realm_name=access.realm,
        client_id=client.client_id,
        client_secret_key=client.secret.reveal() or None,
        username=None if isinstance(who, Credentials) else who.username,
        password=None if isinstance(who, Credentials) else who.password.reveal(),
        grant_type="client_credentials" if isinstance(who, Credentials) else "password",
        verify=context,  # type: ignore[arg-type]  # handed on to httpx, which takes a context (and deprecates a path)
        timeout=access.timeout,  # type: ignore[arg-type]  # a number of seconds; httpx takes a float
    )
    for manager in (connection, connection.keycloak_openid.connection):
        _without_environment(manager, context)
    return KeycloakAdmin(connection=connection)


def _without_environment(manager: "ConnectionManager", context: ssl.SSLContext) -> None:
    """python-keycloak leaves httpx to the environment's proxies; its client was not used yet."""
    import httpx  # noqa: PLC0415 - python-keycloak's own base

    manager.async_s = httpx.AsyncClient(verify=context, trust_env=False)


async def warm(access: KeycloakAccess, admin: "KeycloakAdmin", library: Any) -> None:
    """A fresh token. Under a lock: python-keycloak asks for one per call that finds the old one expired."""
    connection = admin.connection
    if connection.token and connection.expires_at and datetime.now(UTC) < connection.expires_at:
        return
    try:
        try:
            await connection.a_refresh_token()
        except library.exceptions.KeycloakPostError:
            if connection.token is None:
                raise
            await connection.a_get_token()  # the administrator's session is gone: sign in again
    except library.exceptions.KeycloakError as error:
        who = f"user {connection.username}" if connection.username else f"client {connection.client_id}"
        # Here every "no" is an operator's matter, whatever its status.
        raise admin_error(access, f"signing in as {who}", error, token=True) from error
