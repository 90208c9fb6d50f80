"""A tenant's file, which becomes one `domain.tenant.Tenant`.

The file is EFCX's tenant object verbatim plus one `gateway:` section. EFCX's keys that the gateway does not use are
kept and ignored. A key of the second factor in a wrong place is an error that names the right one.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from annotated_types import MinLen
from pydantic import TypeAdapter

from gateway.delivery.phone_numbers import REGIONS
from gateway.domain.channel import ChannelType, RsaServer, RsaService
from gateway.domain.policy import FACTOR_OF_CHANNEL, FactorKind, Policy
from gateway.domain.setting_types import HostName, Name, like
from gateway.domain.tenant import (
    SSO_CALLBACK,
    Branding,
    PhoneNumbers,
    Route,
    SameSite,
    Tenant,
    TenantOptions,
    decoded_segments,
    longest_match,
)
from gateway.domain.urls import covers, is_loopback
from gateway.settings.files import keycloak, two_factor
from gateway.settings.files.gateway_file import SharedSettings
from gateway.settings.files.gateway_section import GatewaySection
from gateway.settings.files.keycloak import EfcxKeycloakSection
from gateway.settings.files.routes import build_routes
from gateway.settings.files.two_factor import TwoFactorSection
from gateway.settings.presets import PRESETS
from gateway.settings.source.diagnostics import Diagnostics, one_of, written
from gateway.settings.source.secret_refs import Resolver
from gateway.settings.source.validation import ForeignSection, salvage
from gateway.settings.source.yaml_source import Document, Path

_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_EFCX_KEYS = ("is2FAEnabled", "channelServiceIdentifier", "otpExpiry", "otpMaxAttempts")
_NO_LETTER = re.compile(r"[^a-z0-9]")
_KEYCLOAK: Path = ("tenantSettings", "keyCloak")
_TWO_FACTOR: Path = ("tenantSettings", "twoFAConfigs")
_MAXIMA: Path = ("gateway", "api", "limits", "maxima")
_AROUND_TWO_FACTOR: tuple[Path, ...] = ((), ("tenantSettings",), _KEYCLOAK)
"""Sections in which a key of `twoFAConfigs` is after a wrong indentation; deeper ones have EFCX's own words."""
_OURS = frozenset(field.name for field in fields(GatewaySection))
_STAND_INS: Mapping[Path, object] = {
    ("tenantName",): "unnamed",
    ("tenantId",): "unnamed",
    ("status",): "unknown",
    ("tenantSettings", "fqdn"): "unnamed.invalid",
    (*_KEYCLOAK,): {"realm": "unnamed", "auth-server-url": "http://unnamed.invalid/"},
    (*_KEYCLOAK, "realm"): "unnamed",
    (*_KEYCLOAK, "auth-server-url"): "http://unnamed.invalid/",
    (*_TWO_FACTOR,): {"is2FAEnabled": False},
    (*_TWO_FACTOR, "is2FAEnabled"): True,
}


class TenantSettingsSection(ForeignSection):
    """EFCX's `tenantSettings`; other keys are kept and ignored."""

    fqdn: HostName
    """Host name of the tenant, as efcx.example.com."""

    keyCloak: EfcxKeycloakSection
    """Realm of the tenant's users, and the clients of the gateway there."""

    twoFAConfigs: TwoFactorSection
    """Second factor of the tenant."""


class TenantFile(ForeignSection):
    """EFCX's tenant object and one `gateway:` section."""

    tenantName: Annotated[Name, MinLen(1)]
    """Name of the tenant."""

    tenantId: Annotated[str, like(_ID, "must be letters, digits, dots, hyphens and underscores, at most 63")]
    """Id of the tenant."""

    status: str
    """State of the tenant. With any other value than `active` its hosts answer "not available"."""

    tenantSettings: TenantSettingsSection
    """EFCX's settings of the tenant."""

    gateway: GatewaySection | None = GatewaySection()
    """Everything for which EFCX has no key."""


_FILE = TypeAdapter(TenantFile)


def check_shape(document: Document, report: Diagnostics) -> None:
    """Reports what is wrong with one file by itself, without `gateway.yaml`."""
    _check_places(document.data, report)
    salvage(_FILE, document.data, report, _STAND_INS)


def build(document: Document, shared: SharedSettings, report: Diagnostics, resolver: Resolver) -> Tenant | None:
    """Makes the tenant of one file; None when that is not possible. Reports what is wrong."""
    _check_places(document.data, report)
    if "tenantId" not in document.data and "tenantSettings" in document.data:
        report.error((), "looks like a partial update; a file holds the whole tenant: what is missing is named here")
    own, defaults = document.data.get("gateway"), shared.defaults
    if isinstance(own, Mapping) and "routes" in own:  # the home of the defaults is on a route of the defaults
        defaults = {key: value for key, value in defaults.items() if key != "home"}
    merged = merge(defaults, own if own is not None else {})
    file = salvage(_FILE, {**document.data, "gateway": merged}, report, _STAND_INS)
    if file is None:
        return None
    settings, section = file.tenantSettings, file.gateway or GatewaySection()
    if file.status != "active":
        report.warning(
            ("status",), f'{file.status!r} is not active: the hosts answer "not available", and no user can sign in'
        )
    policy = two_factor.build(settings.twoFAConfigs, _TWO_FACTOR, report, shared)
    if policy:
        _check_otp_manager(settings, policy, report)
    public_url = _public_url(section, settings.fqdn, shared.gateway.insecure_http, report)
    look, languages = section.branding, shared.gateway.languages
    if look.language and look.language not in languages:
        report.error(
            ("gateway", "branding", "language"), f"{look.language} is not offered; allowed: {one_of(languages)}"
        )
    if not section.help:
        report.hint(
            ("gateway", "help"),
            "is not set: users in trouble are not told whom to ask (text, phone, url, forgot_password)",
        )
    routes = build_routes(section, shared.gateway.prefix, report, resolver, shared.upstream_tls)
    if routes and section.pages_host is None:
        report.hint(
            ("gateway", "routes"),
            f"{urlsplit(public_url).hostname} serves both the apps and the login pages: a script of an app can imitate "
            "the login page there, and post its forms. Set pages_host; see docs/security.md",
        )
    if section.admin_on_app_host and section.pages_host:
        report.warning(("gateway", "admin_on_app_host"), "has no effect: with pages_host, the pages exist only there")
    elif section.admin_on_app_host and routes:
        report.warning(
            ("gateway", "admin_on_app_host"),
            "a script of an app can use the administration pages while an administrator has just confirmed",
        )
    access = keycloak.build(
        settings.keyCloak,
        section.keycloak,
        report,
        resolver,
        tls=shared.keycloak_tls,
        features=shared.features,
        callback=f"{_with_host(public_url, section.pages_host)}{shared.gateway.prefix}{SSO_CALLBACK}",
    )
    sends_texts = policy is not None and policy.enabled and FactorKind.SMS in policy.by_factor
    _check_phone_numbers(section.phone_numbers, report, sends_texts=sends_texts)
    for key in sorted(section.api.limits.maxima.keys() - set(two_factor.NUMBERS)):
        report.error(
            (*_MAXIMA, key),
            f"is no key of twoFAConfigs with a number; allowed: {one_of(two_factor.NUMBERS)}",
        )
    tenant = Tenant(
        id=file.tenantId,
        name=file.tenantName,
        active=file.status == "active",
        public_url=public_url,
        routes=routes,
        keycloak=replace(access, phone_attribute=section.phone_numbers.attribute if sends_texts else ""),
        policy=policy or Policy(preset="", enabled=True, methods=()),
        branding=Branding(look.name or file.tenantName, look.logo, look.colour, look.language, section.help),
        home=_home(section, routes, report),
        rsa=_rsa(settings, policy, shared, report, resolver) if policy else None,
        **{field.name: getattr(section, field.name) for field in fields(TenantOptions)},
    )
    _check_token_cookie(tenant, report)
    if tenant.pages_host in tenant.all_hosts:
        report.error(
            ("gateway", "pages_host"), f"{tenant.pages_host} is a host of the apps; give the pages another one"
        )
    return tenant


def merge(under: Mapping[str, Any], over: Any) -> Any:
    """Merges `over` into `under`: sections key by key, any other value as a whole."""
    if not isinstance(over, Mapping):
        return over
    both = {**under, **over}
    return {
        key: merge(under[key], value) if key in over and isinstance(under.get(key), Mapping) else value
        for key, value in both.items()
    }


def _home(section: GatewaySection, routes: tuple[Route, ...], report: Diagnostics) -> str:
    if section.home is None:
        return f"{routes[0].path}/" if routes else "/"
    if routes and longest_match(routes, decoded_segments(section.home)) is None:
        paths = ", ".join(route.path or "/" for route in routes)
        report.error(("gateway", "home"), f"{section.home} is on no route; routes: {paths}")
    return section.home


def _public_url(section: GatewaySection, fqdn: str, insecure_http: bool, report: Diagnostics) -> str:
    """The origin of the tenant. It may be http for loopback names, or where the operator allows it."""
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
    is_right = fqdn != _STAND_INS[("tenantSettings", "fqdn")]
    if is_right and host != fqdn and fqdn not in section.hosts:
        report.hint(path, f"{host} is not the fqdn; {fqdn} does not reach this tenant unless it is listed in hosts")
    return section.public_url


def _with_host(url: str, host: str | None) -> str:
    """`url`, an origin, with another host name."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}" if host else url


def _check_phone_numbers(numbers: PhoneNumbers, report: Diagnostics, *, sends_texts: bool) -> None:
    at = ("gateway", "phone_numbers")
    if numbers.region and numbers.region not in REGIONS:
        report.error((*at, "region"), f"{numbers.region} is no country with a plan of phone numbers")
    if unknown := sorted(numbers.countries - REGIONS):
        report.error((*at, "countries"), f"{one_of(unknown)} is no country with a plan of phone numbers")
    if sends_texts and not numbers.allowed:
        report.error((*at, "countries"), "is missing: name the countries to which codes may be sent, as [PK, DE]")


def _check_token_cookie(tenant: Tenant, report: Diagnostics) -> None:
    """Reports a token cookie that scripts may read, or whose domain does not fit."""
    cookie, at = tenant.token_cookie, ("gateway", "token_cookie")
    if not cookie.http_only:
        report.warning((*at, "http_only"), "false lets every script of the app read the token")
    if cookie.same_site is SameSite.NONE and not tenant.secure:
        report.error((*at, "same_site"), "none needs an https public_url")
    if outside := [host for host in tenant.all_hosts if cookie.domain and not covers(cookie.domain, host)]:
        report.error((*at, "domain"), f"{cookie.domain} does not cover the tenant's own host {outside[0]}")
        report.mute((*at, "domain"))


def _word(key: object) -> str:
    return _NO_LETTER.sub("", str(key).lower())


_EVERYWHERE: Mapping[str, Path] = {
    "otpmanagerurl": (*_KEYCLOAK, "Otp_Manager_Url"),
    "twofaconfig": _TWO_FACTOR,
    "twofaconfigs": _TWO_FACTOR,
    **{_word(key): (*_TWO_FACTOR, key) for key in _EFCX_KEYS},
}
"""Keys that mean the second factor wherever they are, in any spelling, each with its right place."""
_NEARBY: Mapping[str, Path] = {_word(key): (*_TWO_FACTOR, key) for key in TwoFactorSection.model_fields}


def _check_places(data: Mapping[str, Any], report: Diagnostics) -> None:
    """Reports keys of the second factor, and of the `gateway:` section, that are not in their section."""
    for path in _keys(data, ()):
        word = _word(path[-1])
        right = _EVERYWHERE.get(word) or (_NEARBY.get(word) if path[:-1] in _AROUND_TWO_FACTOR else None)
        fits = path == right or path[:-1] == _MAXIMA or (path[:2] == _TWO_FACTOR == (right or ())[:2] and len(path) > 2)
        if right and not fits:
            report.error(path, f"does not belong here; its place is {written(right)}")
    for key, value in data.items():
        if key in _OURS:
            tell = report.error if "_" in key else report.warning  # EFCX may introduce such a plain word
            tell((key,), f"is ignored here; the gateway's own keys stand below gateway: (gateway.{key})")
        elif key not in TenantFile.model_fields and _is_like_gateway(key) and _holds_ours(value):
            report.error((key,), "is not known; did you mean gateway?")
    settings = data.get("tenantSettings")
    if isinstance(settings, Mapping) and _holds_ours(settings.get("gateway")):
        report.error(("tenantSettings", "gateway"), "does not belong here; its place is gateway, beside tenantSettings")


def _is_like_gateway(key: str) -> bool:
    """Whether this may be a misspelt `gateway`. EFCX may have words that are similar."""
    return bool(difflib.get_close_matches(_word(key), ("gateway",), cutoff=0.8))


def _holds_ours(value: object) -> bool:
    return isinstance(value, Mapping) and not value.keys().isdisjoint(_OURS)


def _keys(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (*path, key)
            yield from _keys(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _keys(inner, (*path, index))


def _rsa(
    settings: TenantSettingsSection, policy: Policy, shared: SharedSettings, report: Diagnostics, resolver: Resolver
) -> RsaServer | None:
    """The tenant's own RSA server where its users need one; reports when there is none for them."""
    method = policy.by_factor.get(FactorKind.RSA)
    channel = shared.channels.get(method.channel or "") if method else None
    if channel is None or not isinstance(channel.service, RsaService):
        return None
    own = keycloak.rsa_server(settings.keyCloak, report, resolver)
    if own is None and channel.service.server is None:
        report.error(
            (*_KEYCLOAK, "RSA_Server_URL"),
            f"is missing: neither this tenant nor the channel {channel.service_identifier} names an RSA server",
        )
    return own


def _check_otp_manager(settings: TenantSettingsSection, policy: Policy, report: Diagnostics) -> None:
    needing = [kind for kind in ChannelType if kind in PRESETS[policy.preset].needs_otp_manager]
    offered = {method.factor for method in policy.methods}
    wanted = any(settings.twoFAConfigs.channelType == t.value or FACTOR_OF_CHANNEL[t] in offered for t in needing)
    if policy.enabled and wanted and not settings.keyCloak.Otp_Manager_Url:
        types = one_of(kind.value for kind in needing)
        report.error(
            (*_KEYCLOAK, "Otp_Manager_Url"),
            f"is missing: EFCX demands it where 2FA by {types} is on (preset {policy.preset}); write its "
            "address, as http://ef-cx-otp-manager-svc:3000/",
        )
