"""What the sections of all services have in common that are called by HTTP."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.domain.channel import HttpService
from gateway.domain.urls import is_internal, is_loopback
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.secret_refs import Resolver
from gateway.settings.source.yaml_source import Path

if TYPE_CHECKING:
    from gateway.settings.files.channels import ChannelSection


class ServiceSection(ABC):
    """The section of a channel that is called by HTTP. It extends the `HttpService` of its kind."""

    __slots__ = ()

    @abstractmethod
    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> HttpService:
        """The service, with its secrets resolved; reports what is wrong. The caller sets `tls`."""


def check_encryption(url: str, at: Path, report: Diagnostics) -> None:
    """Reports an address by http: an error, except in a private network."""
    found = urlsplit(url)
    host = found.hostname or ""
    if found.scheme != "http" or is_loopback(host):
        return
    if is_internal(host):
        report.hint(at, "http sends codes and passwords unprotected; use https where you can")
    else:
        report.error(at, f"must be https: http sends codes and passwords to {host} unprotected")
