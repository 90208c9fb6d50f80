"""How do browsers see a tenant: by which origin, with which cookie, with which look?"""

from dataclasses import replace
from urllib.parse import urlsplit

from gateway.domain.tenant import Branding, Help, SameSite, Tenant, TokenCookie
from gateway.settings.files.gateway_section import GatewaySection
from gateway.settings.files.urls import covers, is_loopback
from gateway.settings.source.diagnostics import Diagnostics, one_of


def public_url_of(section: GatewaySection, fqdn: str, insecure_http: bool, report: Diagnostics) -> str:
    """The origin of the tenant; http only for loopback names or where the operator allows it."""
    path = ("gateway", "public_url")
    if section.public_url is None:
        return f"https://{fqdn}"
    url = urlsplit(section.public_url)
    host = url.hostname or ""
    if url.scheme == "http" and not is_loopback(host):
        if insecure_http:
            report.warning(path, "http carries passwords, codes and cookies unprotected (insecure_http)")
        else:
            report.error(path, "must be https; http is for loopback names, or with insecure_http: true in gateway.yaml")
    if host != fqdn and fqdn not in section.hosts:
        report.hint(path, f"{host} is not the fqdn; {fqdn} does not reach this tenant unless it is listed in hosts")
    return section.public_url


def branding_of(section: GatewaySection, name: str, languages: tuple[str, ...], report: Diagnostics) -> Branding:
    """Name, look and help of the tenant's pages."""
    look, help_ = section.branding, section.help
    if look.language and look.language not in languages:
        report.error(
            ("gateway", "branding", "language"), f"{look.language} is not offered; allowed: {one_of(languages)}"
        )
    return Branding(
        name=look.name or name,
        logo=look.logo,
        colour=look.colour,
        language=look.language,
        help=Help(help_.text, help_.phone, help_.url or "", help_.forgot_password or ""),
    )


def token_cookie_of(tenant: Tenant, section: GatewaySection, report: Diagnostics) -> Tenant:
    """The tenant with its token cookie; scripts that may read it, or a domain that does not fit, are pointed out."""
    given, at = section.token_cookie, ("gateway", "token_cookie")
    if not given.http_only:
        report.warning((*at, "http_only"), "false lets every script of the app read the token")
    if given.same_site is SameSite.NONE and not tenant.secure:
        report.error((*at, "same_site"), "none needs an https public_url")
    if given.domain:
        outside = [host for host in tenant.all_hosts if not covers(given.domain, host)]
        if outside:
            report.error((*at, "domain"), f"{given.domain} does not cover the tenant's own host {outside[0]}")
    return replace(
        tenant, token_cookie=TokenCookie(given.name, given.domain, given.path, given.http_only, given.same_site)
    )
