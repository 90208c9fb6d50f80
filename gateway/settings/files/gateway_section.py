"""The tenant's `gateway:` section: everything for which EFCX has no key.

The same section is `defaults:` of `gateway.yaml`, which the gateway merges under the section of every tenant.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from gateway.domain.channel import TlsSettings
from gateway.domain.setting_types import SECTION, BaseUrl, Origin, OwnPath, Seconds
from gateway.domain.tenant import KEYCLOAK_TIMEOUT, Help, Look, Route, SignInWay, TenantOptions
from gateway.settings.files.field_types import Extended, Section
from gateway.settings.source.secret_refs import SecretSource


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
    """Page on which users enter their password: `password` (the gateway's own page), `sso` or `both`."""

    service_account: ClientSection | None = None
    """Client whose service account reads users and stores their enrolments."""

    issuer: BaseUrl | None = None
    """Required `iss` of every token. Default: derived from `auth-server-url` and the realm."""

    timeout: Seconds = KEYCLOAK_TIMEOUT
    """Seconds until Keycloak counts as down."""

    tls: TlsSettings | None = None
    """Trust and client certificate for this Keycloak alone. Default: those of `tls` in `gateway.yaml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySection(Extended, TenantOptions):
    """Everything for which EFCX has no key."""

    __pydantic_config__ = SECTION

    public_url: Origin | None = None
    """Origin that browsers use, the only source of scheme, host and port. Default: https://{fqdn}."""

    home: OwnPath | None = None
    """Path to which a login without a target leads. Default: the first route."""

    help: Help = Help()
    """Help for users."""

    branding: Look = Look()
    """Look of the tenant's pages."""

    keycloak: KeycloakSection = KeycloakSection()
    """Access of the gateway to the tenant's realm."""

    routes: tuple[Route, ...] = ()
    """Apps of this tenant."""
