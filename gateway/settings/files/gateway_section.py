"""The tenant's `gateway:` section: everything for which EFCX has no key.

The same section is `defaults:` of `gateway.yaml`, which the gateway merges under the section of every tenant.
"""

from dataclasses import dataclass

from gateway.domain.setting_types import SECTION, Origin, OwnPath
from gateway.domain.tenant import Help, Look, Route, TenantOptions
from gateway.settings.files.keycloak import KeycloakSection


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySection(TenantOptions):
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
