"""The tenant's `twoFAConfigs`, which becomes one `domain.policy.Policy`.

EFCX's own five keys and the gateway's further ones are checked against the preset, the configured channels and the
built features. `is2FAEnabled` is mandatory and a boolean, so a truncated file never turns the second factor off.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.domain.channel import ChannelType
from gateway.domain.policy import (
    FACTOR_OF_CHANNEL,
    AttemptsScope,
    ChoosePage,
    EnrolmentRule,
    LockScope,
    Method,
    OnWrongCode,
    Policy,
    Registration,
    RegistrationContact,
    SharedAddress,
)
from gateway.domain.setting_types import Checked, matching
from gateway.settings.checks import policy_consistency
from gateway.settings.features import Features
from gateway.settings.files.channels import KINDS_OF
from gateway.settings.files.field_types import Section
from gateway.settings.files.gateway_file import SharedSettings
from gateway.settings.presets import DEFAULT, PRESETS, Preset
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.yaml_source import Path

TRUST_DAYS = (0, 14, 30, 60, 90)
_AFTER_VERIFY = ("newCode", "lock", "stop")
_AFTER_SENDS = ("stop", "lock")
_TIGHT_EXPIRY = 120
_PATH = r"path:[a-z0-9][a-z0-9-]{0,39}"
_NAMED_PATH = re.compile(_PATH)


def _ending(*words: str) -> Checked:
    """One of `words`, or `path:<name>`."""

    def check(word: str) -> str:
        if word not in words and not _NAMED_PATH.fullmatch(word):
            raise ValueError(f"{word!r} is not known; allowed: {one_of([*words, 'path:<name>'])}")
        return word

    return matching(check, f"^({'|'.join([*words, _PATH])})$")


def _words(*words: str | int) -> Any:
    """Tells an editor the words that the checks allow."""
    return Field(json_schema_extra={"enum": list(words)})


def _trust(days: int) -> int:
    if days not in TRUST_DAYS:
        raise ValueError(f"{days} is not allowed; allowed: {one_of(TRUST_DAYS)}")
    return days


class MethodSection(Section):
    """Method that a user may choose."""

    channelType: ChannelType
    """Kind of second factor: EMAIL, SMS, APP, RSA or EXTERNAL."""

    channelServiceIdentifier: str | None = None
    """Service identifier of a configured channel of that type; APP needs none."""


class TwoFactorSection(Section):
    """Second factor of the tenant: EFCX's keys and the gateway's own."""

    is2FAEnabled: bool
    """Whether the gateway requires a second factor: true or false, always written out."""

    channelType: Annotated[str, _words(*(kind.value for kind in ChannelType))] | None = None
    """Kind of second factor: EMAIL, SMS, APP, RSA or EXTERNAL."""

    channelServiceIdentifier: str | None = None
    """Service identifier of a configured channel of that type; APP needs none."""

    otpExpiry: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Lifetime of a code, in seconds. The vendor advises 60 to 120."""

    otpMaxAttempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Maximum number of wrong codes; after them `onMaxVerify` applies."""

    preset: Annotated[str, _words(*PRESETS)] = DEFAULT
    """Vendor whose documented behaviour is the default of every other key."""

    methods: list[MethodSection] | None = None
    """Methods that a user may choose, in presets that offer several. Default: those of the preset."""

    fallback: MethodSection | None = None
    """Method for users without an address for the first one."""

    enrolment: EnrolmentRule | None = None
    """Whether a user must have a factor: required or optional."""

    onNoContact: Annotated[str, _ending("register", "refuse")] | None = None
    """Treatment of a user without a usable address: register, refuse, or path:<name>."""

    registration: Registration | None = None
    """Proof that a first enrolment needs besides the password."""

    registrationContact: RegistrationContact | None = None
    """Source of the addresses that a user may enrol: any, the profile, or the service."""

    contactService: str | None = None
    """Web-services channel that supplies the addresses of a user."""

    choosePage: ChoosePage | None = None
    """When the gateway asks a user with several methods to choose one."""

    codeGeneration: Literal["INTERNAL", "EXTERNAL"] | None = None
    """Maker of the code: INTERNAL is the gateway, EXTERNAL a service."""

    otpLength: Annotated[int, Field(ge=4, le=10)] | None = None
    """Number of digits of a code, 4 to 10."""

    attemptsScope: AttemptsScope | None = None
    """Counter of wrong codes: one for each code, or one for the user."""

    warnFromAttempt: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of wrong codes from which the page warns the user. Default: no warning."""

    onWrongCode: OnWrongCode | None = None
    """Reaction to a wrong code: ask again, or send a new code."""

    onMaxVerify: Annotated[str, _ending(*_AFTER_VERIFY)] | None = None
    """Reaction to the last allowed wrong code: newCode, lock, stop, or path:<name>."""

    lockedFor: Annotated[int, Field(ge=0, le=604_800)] | None = None
    """Duration of a lock, in seconds."""

    lockScope: LockScope | None = None
    """Part that a lock closes: the tenant or one app."""

    maxSends: Annotated[int, Field(ge=1, le=100)] | None = None
    """Maximum number of codes that the gateway sends in one login, the first included."""

    resendCooldown: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Minimum time between two codes to one user, in seconds."""

    onMaxSends: Annotated[str, _ending(*_AFTER_SENDS)] | None = None
    """Reaction to the last allowed send: stop, lock, or path:<name>."""

    trustBrowserDays: Annotated[int, AfterValidator(_trust), _words(*TRUST_DAYS)] | None = None
    """Number of days for which a user may trust a browser: 0, 14, 30, 60 or 90. With 0 no browser is trusted."""

    skipWhenVerified: bool | None = None
    """Whether a factor that the user proved in the current session is enough."""

    backupCodes: Annotated[int, Field(ge=0, le=50)] | None = None
    """Number of backup codes that a user gets. With 0 there are none."""

    adminCodes: bool | None = None
    """Whether the gateway accepts an administrator's code instead of a factor."""

    sharedAddress: SharedAddress | None = None
    """Treatment of two users with one address: the newest code alone counts, or each user's own."""


_BEFORE_CAPITAL = re.compile(r"(?=[A-Z])")
_OF_CHANNELS = {"preset", "methods", "fallback"}
_PATH_FIELDS = {
    "onNoContact": "no_contact_path",
    "onMaxVerify": "max_verify_path",
    "onMaxSends": "max_sends_path",
}
"""Keys whose value may be `path:<name>`, each with the field of `Policy` for the name."""
FIELDS: Mapping[str, str] = {
    key: name
    for key in TwoFactorSection.model_fields
    if (name := _BEFORE_CAPITAL.sub("_", key).lower()) in {field.name for field in fields(Policy)} - _OF_CHANNELS
}
"""The field of `Policy` that each key sets: `otpExpiry` sets `otp_expiry`."""


def build(
    section: TwoFactorSection, at: Path, report: Diagnostics, shared: SharedSettings
) -> tuple[Policy, Preset] | None:
    """Makes the policy and returns it with its preset; None when there is no such preset. Reports what is wrong."""
    features = shared.features
    preset = PRESETS.get(section.preset)
    if preset is None or section.preset not in features.presets:
        what = "is not known" if preset is None else "is not built yet"
        report.error((*at, "preset"), f"{section.preset!r} {what}; allowed: {one_of(features.presets)}")
        return None
    given = {key: value for key in TwoFactorSection.model_fields if (value := getattr(section, key)) is not None}
    _check_keys(given, preset, at, report, features)
    policy = replace(preset.policy, enabled=section.is2FAEnabled, **_changes(given, preset))
    if section.is2FAEnabled:
        for key in sorted(preset.required - given.keys()):
            report.error((*at, key), f"is missing: preset {section.preset} needs a whole number above 0")
        if section.channelType == ChannelType.EMAIL.value and policy.otp_expiry < _TIGHT_EXPIRY:
            report.hint(
                (*at, "otpExpiry"),
                f"{policy.otp_expiry} s are tight for a code that comes by mail; "
                f"{_TIGHT_EXPIRY} s leave time to read it",
            )
        policy_consistency.check(policy, at, report)
    methods = _methods(section, preset, at, report, shared)
    fallback = section.fallback if section.is2FAEnabled and "fallback" not in preset.absent else None
    if fallback is None:
        return replace(policy, methods=methods), preset
    at_fallback = (*at, "fallback")
    method = _method(fallback.channelType, fallback.channelServiceIdentifier, at_fallback, report, shared)
    return replace(policy, methods=methods, fallback=method), preset


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _changes(given: Mapping[str, object], preset: Preset) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key, value in given.items():
        name = FIELDS.get(key, "")
        if key in _PATH_FIELDS:
            word, _, path = str(value).partition(":")
            changes[name] = type(getattr(preset.policy, name))(word)
            changes[_PATH_FIELDS[key]] = path or None
        elif name:
            changes[name] = value
    return changes


def _check_keys(given: Mapping[str, object], preset: Preset, at: Path, report: Diagnostics, features: Features) -> None:
    named = preset.policy.preset
    switched_on = [PRESETS[name] for name in features.presets]
    for key, value in given.items():
        plain = _plain(value)
        if key in preset.absent:
            report.error((*at, key), f"does not exist in preset {named}")
            continue
        if isinstance(plain, str) and plain.startswith("path:"):
            if not features.named_paths:
                report.error((*at, key), "named paths (path:<name>) are not built yet")
            continue
        name = FIELDS.get(key, "")
        used = any(key in p.free or (name and _plain(getattr(p.policy, name)) == plain) for p in switched_on)
        if not used and (plain in features.later.get(key, ()) or (key in features.unused and plain)):
            report.error((*at, key), _not_built(key, value, features))
            continue
        if name and key not in preset.free and _plain(getattr(preset.policy, name)) != plain:
            own = _plain(getattr(preset.policy, name))
            said = "off" if own is None else own
            report.hint((*at, key), f"is an extension: preset {named} itself has {said}")


def _not_built(key: str, value: object, features: Features) -> str:
    """The sentence that `value` is not built, and which values of `key` are."""
    if key in features.unused:
        return "is not built yet"
    named: Mapping[str, tuple[str, ...]] = {"onMaxVerify": _AFTER_VERIFY, "onMaxSends": _AFTER_SENDS}
    words = named.get(key) or (tuple(w.value for w in type(value)) if isinstance(value, Enum) else ())
    ready = [word for word in words if word not in features.later.get(key, ())]
    return f"{_plain(value)!r} is not built yet" + (f"; built: {one_of(ready)}" if ready else "")


def _methods(
    section: TwoFactorSection, preset: Preset, at: Path, report: Diagnostics, shared: SharedSettings
) -> tuple[Method, ...]:
    """Makes methods of channel types and service identifiers, which must be configured and built."""
    types = one_of(t.value for t in ChannelType)
    wanted: list[tuple[ChannelType, str | None, Path]] = []
    if section.methods is not None and preset.several_methods:
        if section.channelType:
            report.error((*at, "channelType"), "give either methods or channelType, not both")
        if not section.methods and section.is2FAEnabled:
            report.error((*at, "methods"), "is empty: name at least one method")
        _check_twice(section.methods, at, report)
        wanted = [
            (m.channelType, m.channelServiceIdentifier, (*at, "methods", n)) for n, m in enumerate(section.methods)
        ]
    elif section.channelType:
        try:
            kind = ChannelType(section.channelType)
        except ValueError:
            report.error((*at, "channelType"), f"{section.channelType!r} is not known; allowed: {types}")
            return ()
        wanted = [(kind, section.channelServiceIdentifier, at)] if section.is2FAEnabled else []
    elif not section.is2FAEnabled:
        return ()
    elif preset.default_methods:
        own = section.channelServiceIdentifier
        wanted = [(kind, own or _only(kind, shared), at) for kind in preset.default_methods]
    else:
        report.error((*at, "channelType"), f"is missing: the kind of second factor, {types}")
    found = [_method(kind, identifier, place, report, shared) for kind, identifier, place in wanted]
    return tuple(method for method in found if method)


def _check_twice(listed: list[MethodSection], at: Path, report: Diagnostics) -> None:
    """A user has one enrolment of a kind, so the gateway would never use a second channel for it."""
    kinds = [m.channelType for m in listed]
    for n, kind in enumerate(kinds):
        if kind in kinds[:n]:
            report.error((*at, "methods", n, "channelType"), f"{kind.value} is listed already: one of a kind")


def _only(kind: ChannelType, shared: SharedSettings) -> str | None:
    """The only channel of `kind`, which the tenant need not name."""
    fitting = [c.service_identifier for c in shared.channels.values() if c.type is kind]
    return fitting[0] if len(fitting) == 1 else None


def _method(
    kind: ChannelType, identifier: str | None, at: Path, report: Diagnostics, shared: SharedSettings
) -> Method | None:
    factor, features, invalid = FACTOR_OF_CHANNEL[kind], shared.features, shared.invalid_channels
    if factor not in features.factors:
        ready = one_of(t.value for t, f in FACTOR_OF_CHANNEL.items() if f in features.factors)
        report.error((*at, "channelType"), f"{kind.value} is not built yet; built: {ready}")
        return None
    if not KINDS_OF.get(kind):
        return Method(factor)
    fitting = [c.service_identifier for c in shared.channels.values() if c.type is kind]
    there = f"configured for {kind.value}: {one_of(fitting)}" if fitting else f"no {kind.value} channel is configured"
    place = (*at, "channelServiceIdentifier")
    if identifier not in shared.channels and invalid & {identifier or next(iter(invalid), ""), ""}:
        return None  # reported at the channel
    channel = shared.channels.get(identifier or "")
    if not identifier:
        report.error(place, f"is missing: the service identifier of a channel; {there}")
    elif channel is None:
        report.error(place, f"{identifier!r} names no channel of gateway.yaml; {there}")
    elif channel.type is not kind:
        report.error(place, f"{identifier!r} is of type {channel.type.value}, not {kind.value}; {there}")
    else:
        return Method(factor, identifier)
    return None
