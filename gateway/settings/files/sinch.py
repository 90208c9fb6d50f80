"""The section `sinch:` of a channel: the Sinch Verification API.

The settings and the secret have the names of the vendor's own product, Sinch Contact Pro.
"""

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from gateway.domain.channel import HttpService, SinchAuthentication, SinchService
from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, matching
from gateway.domain.urls import upstream
from gateway.settings.files.service_section import ServiceSection, check_encryption
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.secret_refs import Resolver, SecretSource
from gateway.settings.source.yaml_source import Path

if TYPE_CHECKING:
    from gateway.settings.files.channels import ChannelSection

SINCH_ENTRY = "sinch-verification-api"
"""The entry of `secrets:` in `gateway.yaml` for every channel of kind sinch."""
_APP_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")


def _endpoint(text: str) -> str:
    try:
        url = upstream(text)
    except ValueError:
        url = ""
    if url.count("/") != 2:
        raise ValueError("must be an address without a path, as https://verification.api.sinch.com")
    return url


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class SinchSection(HttpService, ServiceSection):
    """The Sinch Verification API, which makes, sends and checks the codes."""

    __pydantic_config__ = SECTION

    endpoint: Annotated[str, matching(_endpoint, "^https?://[^/ ]+/?$")] = ""
    """Address of the API without a path, as `https://verification.api.sinch.com`. Always required."""

    authentication: SinchAuthentication | None = None
    """Proof of each request, always required: `application-signed`, or `basic`, which sends the secret itself."""

    authentication_id: str = ""
    """Key of the app in Sinch's dashboard. `secrets: sinch-verification-api` of this file replaces it."""

    secret: SecretSource | None = None
    """Secret of the app. `secrets: sinch-verification-api` of this file replaces it."""

    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> SinchService:
        """See `ServiceSection`. A named secret of the file replaces the section's own."""
        key, secret, place = self.authentication_id, self.secret, at
        if named := resolver.named.get(SINCH_ENTRY):
            if key or secret:
                report.hint(at, f"has a secret that is not used: secrets: {SINCH_ENTRY} replaces it")
            key, secret, place = named.authentication_id, named.secret, ("secrets", SINCH_ENTRY)
        instead = f"write it here, or authentication_id and secret in secrets: {SINCH_ENTRY}"
        needed = (
            (at, "endpoint", self.endpoint, "write https://verification.api.sinch.com, or the address that you use"),
            (at, "authentication", self.authentication, "write application-signed, or basic"),
            (place, "authentication_id", key, instead),
            (place, "secret", secret, instead),
        )
        for where, name, found, what in needed:
            if not found:
                report.error((*where, name), f"is missing: {what}")
        if key and not _APP_KEY.fullmatch(key):
            report.error((*place, "authentication_id"), "must be the key of an app as Sinch's dashboard shows it")
        check_encryption(self.endpoint, (*at, "endpoint"), report)
        authentication = self.authentication or SinchAuthentication.SIGNED
        text = resolver.secret(secret, (*place, "secret")) if secret else Secret("")
        if authentication is SinchAuthentication.SIGNED and text and not _is_base64(text.value):
            report.error(
                (*place, "secret"),
                "must be Base64, as Sinch's dashboard shows the secret of an app: application-signed decodes it",
            )
        return SinchService(
            endpoint=self.endpoint,
            authentication=authentication,
            key=key,
            secret=text,
            timeout=self.timeout,
            tls=self.tls,
        )
