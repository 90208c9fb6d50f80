"""Chooses the administrator of a realm and keeps its token fresh.

It uses python-keycloak, set up to request one token instead of one per call, and to send by `Connection`.
The import of python-keycloak takes a second or more. So only `KeycloakClients.administration` imports it, at the first
use and outside the event loop.
"""

import ssl
from typing import TYPE_CHECKING, Any

from gateway.domain import errors
from gateway.domain.tenant import AdminUser, Credentials, KeycloakAccess
from gateway.keycloak.connection import Connection
from gateway.keycloak.http_errors import admin_error, bad_status

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin


async def choose(access: KeycloakAccess, context: ssl.SSLContext, library: Any) -> "KeycloakAdmin":
    """The administrator of `access`, or its fallback if the first one cannot sign in or may not write users."""
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
        await renew_token(access, admin, library)
        return await may_write_users(access, admin)
    except errors.Refused:
        return False
    except library.exceptions.KeycloakError as error:
        raise admin_error(access, "checking the administrator", error) from error


async def may_write_users(access: KeycloakAccess, admin: "KeycloakAdmin") -> bool:
    """Whether the administrator may write users.

    The test creates a user without a name. Keycloak rejects it in any case: with 400 if the administrator may write
    users, with 403 if not.
    """
    # Not a_create_user, which looks the name up first.
    answer = await admin.connection.a_raw_post(f"admin/realms/{access.realm}/users", data="{}")
    if answer.status_code not in {400, 403}:
        raise bad_status(access, "checking the administrator", answer.status_code)
    return answer.status_code == 400


async def close(admin: "KeycloakAdmin") -> None:
    """Close the administrator's connections."""
    await admin.connection.keycloak_openid.connection.aclose()
    await admin.connection.aclose()


def _administrator(
    access: KeycloakAccess, account: Credentials | AdminUser, context: ssl.SSLContext
) -> "KeycloakAdmin":
    from keycloak import KeycloakAdmin, KeycloakOpenIDConnection  # noqa: PLC0415 - see above

    client = account if isinstance(account, Credentials) else account.client
    connection = KeycloakOpenIDConnection(
        server_url=access.url,
        realm_name=access.realm,
        user_realm_name=access.realm,
        client_id=client.client_id,
        client_secret_key=client.secret.value or None,
        username=None if isinstance(account, Credentials) else account.username,
        password=None if isinstance(account, Credentials) else account.password.value,
        grant_type="client_credentials" if isinstance(account, Credentials) else "password",
        verify=context,  # type: ignore[arg-type]  # passed to httpx, which takes a context (and deprecates a path)
        timeout=access.timeout,  # type: ignore[arg-type]  # a number of seconds; httpx takes a float
    )
    for manager in (connection, connection.keycloak_openid.connection):
        manager.async_s = Connection(context)  # type: ignore[assignment]  # it has what python-keycloak uses
    return KeycloakAdmin(connection=connection)


async def renew_token(access: KeycloakAccess, admin: "KeycloakAdmin", library: Any) -> None:
    """Get a new token. Call it under a lock: python-keycloak requests one for each call that finds it expired."""
    connection = admin.connection
    try:
        try:
            await connection.a_refresh_token()
        except library.exceptions.KeycloakPostError:
            if connection.token is None:
                raise
            await connection.a_get_token()  # the administrator's session has ended: sign in again
    except library.exceptions.KeycloakError as error:
        name = f"user {connection.username}" if connection.username else f"client {connection.client_id}"
        # Here an operator must act on every rejection, with any status.
        raise admin_error(access, f"signing in as {name}", error, token=True) from error
