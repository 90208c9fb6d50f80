"""The section `web_services` of a channel: three XML web services of a tenant."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.channel import HttpService
from gateway.domain.setting_types import SECTION
from gateway.domain.web_services import ServiceSet, WebServices
from gateway.settings.files.service_section import ServiceSection, check_encryption
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.secret_refs import Resolver
from gateway.settings.source.yaml_source import Path

if TYPE_CHECKING:
    from gateway.settings.files.channels import ChannelSection


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServicesSection(ServiceSection, WebServices):
    """Three XML web services of one tenant's users."""

    __pydantic_config__ = SECTION

    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> HttpService:
        """Itself; services for tests are pointed out."""
        for name in ("check", "send", "code"):
            service = getattr(self, name)
            if service is None:
                continue
            check_encryption(service.url(self.live), (*at, name, self.live.value), report)
            if self.live is ServiceSet.TEST and service.test is None:
                report.error((*at, name, "test"), "is missing: live: test calls the addresses for tests")
        if self.live is ServiceSet.TEST:
            report.warning((*at, "live"), "test: the services for tests decide who signs in; write production")
        return self
