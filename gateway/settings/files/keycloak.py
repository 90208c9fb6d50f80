"""Access to a tenant's realm: EFCX's `keyCloak` and the gateway's own `gateway.keycloak`.

The client with which users sign in is `gateway.keycloak`, else `CLIENT_ID`, else `resource`, with `credentials.secret`.
The service account administers the realm, else the sign-in client's own, else EFCX's administrator.
"""

from typing import Annotated

from pydantic import Field

from gateway.domain.channel import RsaServer, TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.setting_types import BaseUrl, Seconds
from gateway.domain.tenant import (
    KEYCLOAK_TIMEOUT,
    AdminUser,
    Credentials,
    KeycloakAccess,
    SecondFactorBy,
    SignInWay,
    SingleSignOn,
)
from gateway.domain.urls import base_url, service_url
from gateway.settings.features import Features
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.secret_refs import Resolver, SecretSource
from gateway.settings.source.validation import ForeignSection, Section
from gateway.settings.source.yaml_source import Path

_KEYCLOAK: Path = ("tenantSettings", "keyCloak")
_ADMIN_ADMIN = "admin/admin is EFCX's sample, which everybody knows: change it"


# Not `domain.tenant.Credentials`: the file may only name the place of the secret.
class ClientSection(Section):
    """Keycloak client."""

    client_id: Annotated[str, Field(min_length=1)]
    """Name of the client."""

    client_secret: SecretSource
    """Secret of the client."""


class KeycloakSection(Section):
    """Access of the gateway to the tenant's realm."""

    client_id: str | None = None
    """Client with which users sign in. Default: EFCX's `CLIENT_ID`, or else its `resource`."""

    client_secret: SecretSource | None = None
    """Secret of `client_id`. Default: EFCX's `credentials.secret`."""

    sign_in: SignInWay = SignInWay.PASSWORD
    """Page on which users enter their password: `password` (the gateway's own page), `sso` (Keycloak's) or `both`."""

    second_factor_by: SecondFactorBy = SecondFactorBy()
    """With `sign_in: sso`: values in Keycloak's ID token that count as the second factor."""

    service_account: ClientSection | None = None
    """Client whose service account reads users and stores their enrolments."""

    issuer: BaseUrl | None = None
    """Required `iss` of every token. Default: derived from `auth-server-url` and the realm."""

    timeout: Seconds = KEYCLOAK_TIMEOUT
    """Seconds until Keycloak counts as down."""

    tls: TlsSettings | None = None
    """Trust and client certificate for this Keycloak alone. Default: those of `tls` in `gateway.yaml`."""


class CredentialsSection(ForeignSection):
    """EFCX's `credentials`."""

    secret: SecretSource | None = None
    """Secret of the client: text, {env: NAME} or {file: path}."""


class EfcxKeycloakSection(ForeignSection):
    """EFCX's `keyCloak`; other keys are kept and ignored."""

    realm: Annotated[str, Field(min_length=1, max_length=255)]
    """Realm of the tenant's users."""

    auth_server_url: BaseUrl = Field(alias="auth-server-url")
    """Address of Keycloak, as http://keycloak.ef-external.svc/auth/."""

    CLIENT_ID: str = ""
    """Client with which users sign in. It has priority over `resource`."""

    resource: str = ""
    """Client with which users sign in when there is no `CLIENT_ID`."""

    credentials: CredentialsSection = CredentialsSection()
    """Secret of that client."""

    GRANT_TYPE: Annotated[str, Field(json_schema_extra={"enum": ["password"]})] = "password"
    """Grant with which users sign in. The only one is `password`."""

    USERNAME_ADMIN: str = ""
    """User name of an administrator of the realm, for tenants without a service account."""

    PASSWORD_ADMIN: SecretSource | None = None
    """Password of `USERNAME_ADMIN`."""

    Otp_Manager_Url: str = ""
    """Address of EFCX's otp-manager. EFCX requires it where 2FA by EMAIL or SMS is on."""

    RSA_Server_URL: str = ""
    """Address of the tenant's RSA Authentication Manager, as https://rsa.example.com:5555/. Default: that of the
    channel."""

    RSA_Client_Key: SecretSource | None = None
    """Access key of RSA's Authentication API, for `RSA_Server_URL`."""

    RSA_Client_ID: str = ""
    """Name of the authentication agent at RSA, for `RSA_Server_URL`."""


def build(
    efcx: EfcxKeycloakSection,
    own: KeycloakSection,
    report: Diagnostics,
    resolver: Resolver,
    *,
    tls: TlsSettings,
    features: Features,
    callback: str,
) -> KeycloakAccess:
    """Makes the access; reports what is wrong. `tls` is for a Keycloak without its own.

    `callback` is the address to which Keycloak returns browsers.
    """
    if efcx.GRANT_TYPE != "password":
        report.error((*_KEYCLOAK, "GRANT_TYPE"), f"{efcx.GRANT_TYPE!r} is not allowed; allowed: password")
    if own.sign_in not in features.sign_in:
        ready = one_of(way.value for way in features.sign_in)
        report.error(("gateway", "keycloak", "sign_in"), f"{own.sign_in.value} is not built yet; built: {ready}")
    sign_in = _sign_in_client(efcx, own, report, resolver)
    administration, fallback = sign_in, _efcx_administrator(efcx, sign_in, report, resolver)
    if account := own.service_account:
        secret = resolver.secret(account.client_secret, ("gateway", "keycloak", "service_account", "client_secret"))
        administration, fallback = Credentials(account.client_id, secret), None
    elif fallback:
        report.warning(
            (*_KEYCLOAK, "USERNAME_ADMIN"),
            "is used where the sign-in client may not administer users; set gateway.keycloak.service_account instead",
        )
    issuer = (own.issuer or f"{efcx.auth_server_url}realms/{efcx.realm}").rstrip("/")
    return KeycloakAccess(
        url=efcx.auth_server_url,
        realm=efcx.realm,
        issuer=issuer,
        sign_in=sign_in,
        administration=administration,
        administration_fallback=fallback,
        otp_manager_url=_otp_manager_url(efcx.Otp_Manager_Url, report),
        timeout=own.timeout,
        tls=resolver.tls(own.tls, ("gateway", "keycloak", "tls"), tls),
        sso=_sso(own, issuer, callback, report),
    )


def _sso(own: KeycloakSection, issuer: str, callback: str, report: Diagnostics) -> SingleSignOn | None:
    """The sign-in on Keycloak's pages; None where users enter their password on the gateway's."""
    if own.sign_in is not SignInWay.SSO:
        if own.second_factor_by != SecondFactorBy():
            report.error(
                ("gateway", "keycloak", "second_factor_by"),
                "needs sign_in: sso; with a password on the gateway's own page Keycloak asks for no second factor",
            )
        return None
    if callback.startswith("https:") and issuer.startswith("http:"):
        report.warning(
            ("gateway", "keycloak", "issuer"),
            f"users would enter their password at {issuer}, unprotected; set issuer to the https:// address that "
            "browsers use, which is Keycloak's --hostname",
        )
    elif own.issuer is None:
        report.hint(
            ("gateway", "keycloak", "sign_in"),
            f"redirects browsers to {issuer}; if they use another address of Keycloak, set issuer to it",
        )
    return SingleSignOn(callback, own.second_factor_by)


def rsa_server(efcx: EfcxKeycloakSection, report: Diagnostics, resolver: Resolver) -> RsaServer | None:
    """The tenant's own RSA server, from EFCX's keys; None where none of them is filled."""
    key = efcx.RSA_Client_Key
    given = {"RSA_Server_URL": efcx.RSA_Server_URL, "RSA_Client_ID": efcx.RSA_Client_ID}
    given["RSA_Client_Key"] = "" if key is None or key.value == "" else "given"
    if not any(given.values()):
        return None
    for name in (name for name, value in given.items() if not value):
        report.error((*_KEYCLOAK, name), "is missing: the three keys RSA_… belong together; fill all or none")
    return RsaServer(
        service_address(efcx.RSA_Server_URL, "RSA_Server_URL", report),
        efcx.RSA_Client_ID,
        resolver.secret(key, (*_KEYCLOAK, "RSA_Client_Key")) if key and given["RSA_Client_Key"] else Secret(""),
    )


def service_address(text: str, key: str, report: Diagnostics) -> str:
    """The address of a service in EFCX's `key`, ending in `/`; "" where the file has none, or none that is usable."""
    try:
        return service_url(text) if text else ""
    except ValueError as error:
        report.error((*_KEYCLOAK, key), str(error))
        return ""


def _otp_manager_url(url: str, report: Diagnostics) -> str:
    """The address, ending in `/`; as written where it is none."""
    try:
        return base_url(url) if url else ""
    except ValueError as error:
        report.warning((*_KEYCLOAK, "Otp_Manager_Url"), f"{url!r} is none of EFCX's: {error}")
        return url


def _sign_in_client(
    efcx: EfcxKeycloakSection, own: KeycloakSection, report: Diagnostics, resolver: Resolver
) -> Credentials:
    if own.client_id:
        if own.client_secret is None:
            report.error(("gateway", "keycloak", "client_secret"), "is missing: the secret of client_id")
            return Credentials(own.client_id, Secret(""))
        return Credentials(own.client_id, resolver.secret(own.client_secret, ("gateway", "keycloak", "client_secret")))
    if own.client_secret is not None:
        report.error(("gateway", "keycloak", "client_id"), "is missing: client_secret needs its client")
    client = efcx.CLIENT_ID or efcx.resource
    if not client:
        report.error((*_KEYCLOAK, "CLIENT_ID"), "is missing: the client users sign in with (here, or gateway.keycloak)")
    elif efcx.CLIENT_ID and efcx.resource and efcx.resource != efcx.CLIENT_ID:
        report.hint((*_KEYCLOAK, "resource"), f"is ignored: CLIENT_ID ({efcx.CLIENT_ID}) comes first")
    source, path = efcx.credentials.secret, (*_KEYCLOAK, "credentials", "secret")
    if source is None or source.value == "":
        report.error(path, f"is missing: the secret of the client {client or '…'}")
        return Credentials(client, Secret(""))
    return Credentials(client, resolver.secret(source, path))


def _efcx_administrator(
    efcx: EfcxKeycloakSection, client: Credentials, report: Diagnostics, resolver: Resolver
) -> AdminUser | None:
    extra = efcx.model_extra or {}
    if extra.get("MASTER_USERNAME") == "admin" and extra.get("MASTER_PASSWORD") == "admin":
        report.warning((*_KEYCLOAK, "MASTER_PASSWORD"), _ADMIN_ADMIN)
    if not efcx.USERNAME_ADMIN or efcx.PASSWORD_ADMIN is None or efcx.PASSWORD_ADMIN.value == "":
        return None
    password = resolver.secret(efcx.PASSWORD_ADMIN, (*_KEYCLOAK, "PASSWORD_ADMIN"))
    if efcx.USERNAME_ADMIN == "admin" and password.value == "admin":
        report.warning((*_KEYCLOAK, "PASSWORD_ADMIN"), _ADMIN_ADMIN)
    return AdminUser(client, efcx.USERNAME_ADMIN, password)
