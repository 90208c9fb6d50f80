"""What does `twoFAConfigs` of a tenant demand?

EFCX's own five keys and the gateway's further ones, checked against the preset, the configured channels and what is
built, become one `domain.policy.Policy`. `is2FAEnabled` is mandatory and a boolean: a file that was cut off never turns
the second factor off.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.domain.channel import Channel, ChannelType
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
from gateway.settings.checks import policy_consistency
from gateway.settings.features import Features
from gateway.settings.files.channels import KINDS_OF
from gateway.settings.files.field_types import Choice, Section, seen_as
from gateway.settings.files.shared_settings import SharedSettings
from gateway.settings.presets import DEFAULT, PRESETS, Preset
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.yaml_source import Path

TRUST_DAYS = (0, 14, 30, 60, 90)
_AFTER_VERIFY = ("newCode", "lock", "stop")
_AFTER_SENDS = ("stop", "lock")
_TIGHT_EXPIRY = 120
_PATH = r"path:[a-z0-9][a-z0-9-]{0,39}"
_NAMED_PATH = re.compile(_PATH)
_TRUST_TEXT = WithJsonSchema({"type": "integer", "enum": list(TRUST_DAYS)})


def _ending(*words: str) -> AfterValidator:
    """One of `words`, or `path:<name>`."""

    def check(word: str) -> str:
        if word not in words and not _NAMED_PATH.fullmatch(word):
            raise ValueError(f"{word!r} is not known; allowed: {one_of([*words, 'path:<name>'])}")
        return word

    return AfterValidator(check)


def _ending_text(*words: str) -> WithJsonSchema:
    return seen_as(pattern=f"^({'|'.join([*words, _PATH])})$")


def _trust(days: int) -> int:
    if days not in TRUST_DAYS:
        raise ValueError(f"{days} is not allowed; allowed: {one_of(TRUST_DAYS)}")
    return days


class MethodSection(Section):
    """One way to prove oneself."""

    channelType: Choice[ChannelType]
    """EMAIL, SMS, APP, RSA or EXTERNAL."""

    channelServiceIdentifier: str | None = None
    """The service identifier of a configured channel of that type; APP needs none."""


class TwoFactorSection(Section):
    """The tenant's second factor: EFCX's keys and the gateway's own."""

    is2FAEnabled: bool
    """Whether a second factor is demanded: true or false, always written out."""

    channelType: Annotated[str, seen_as(*(kind.value for kind in ChannelType))] | None = None
    """EMAIL, SMS, APP, RSA or EXTERNAL."""

    channelServiceIdentifier: str | None = None
    """The service identifier of a configured channel of that type; APP needs none."""

    otpExpiry: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Seconds a code is good for (the vendor advises 60 to 120)."""

    otpMaxAttempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Wrong codes until the code is dead."""

    preset: Annotated[str, seen_as(*PRESETS)] = DEFAULT
    """The vendor whose documented behaviour is the default of every other key."""

    methods: list[MethodSection] | None = None
    """The ways a user may choose from, in presets that offer several; the preset's own without it."""

    fallback: MethodSection | None = None
    """The way for users without an address for the first one."""

    enrolment: Choice[EnrolmentRule] | None = None
    """Must a user have a factor: required or optional."""

    onNoContact: Annotated[str, _ending("register", "refuse"), _ending_text("register", "refuse")] | None = None
    """What happens to a user without a usable address."""

    registration: Choice[Registration] | None = None
    """What a first registration needs besides the password."""

    registrationContact: Choice[RegistrationContact] | None = None
    """Which addresses may be registered: any, the profile's, or the service's."""

    contactService: str | None = None
    """The web-services channel that knows a user's addresses."""

    choosePage: Choice[ChoosePage] | None = None
    """When a user with several methods is asked which one."""

    codeGeneration: Literal["INTERNAL", "EXTERNAL"] | None = None
    """Who makes the code."""

    otpLength: Annotated[int, Field(ge=4, le=10)] | None = None
    """Digits of a code, 4 to 10."""

    attemptsScope: Choice[AttemptsScope] | None = None
    """What a wrong code is counted against: the code or the user."""

    warnFromAttempt: Annotated[int, Field(ge=1, le=1000)] | None = None
    """From which wrong code on the page warns."""

    onWrongCode: Choice[OnWrongCode] | None = None
    """Ask again, or send a new code."""

    onMaxVerify: Annotated[str, _ending(*_AFTER_VERIFY), _ending_text(*_AFTER_VERIFY)] | None = None
    """What follows the last allowed wrong code."""

    lockedFor: Annotated[int, Field(ge=0, le=604_800)] | None = None
    """Seconds of a lock."""

    lockScope: Choice[LockScope] | None = None
    """What a lock closes: the tenant or one application."""

    maxSends: Annotated[int, Field(ge=1, le=100)] | None = None
    """Codes sent in one login, the first included."""

    resendCooldown: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Seconds between two codes to one user."""

    onMaxSends: Annotated[str, _ending(*_AFTER_SENDS), _ending_text(*_AFTER_SENDS)] | None = None
    """What follows the last allowed code."""

    trustBrowserDays: Annotated[int, AfterValidator(_trust), _TRUST_TEXT] | None = None
    """Days a browser may be remembered: 0, 14, 30, 60 or 90."""

    skipWhenVerified: bool | None = None
    """Not asked again in a live session."""

    backupCodes: Annotated[int, Field(ge=0, le=50)] | None = None
    """How many backup codes a user gets."""

    adminCodes: bool | None = None
    """Whether an administrator's code is taken."""

    sharedAddress: Choice[SharedAddress] | None = None
    """What two users with one address mean to each other."""


# key in the file → (field of Policy, field for the name of a path)
_FIELDS: Mapping[str, tuple[str, str]] = {
    "enrolment": ("enrolment", ""),
    "onNoContact": ("on_no_contact", "no_contact_path"),
    "registration": ("registration", ""),
    "registrationContact": ("registration_contact", ""),
    "choosePage": ("choose_page", ""),
    "otpLength": ("otp_length", ""),
    "otpExpiry": ("otp_expiry", ""),
    "otpMaxAttempts": ("otp_max_attempts", ""),
    "attemptsScope": ("attempts_scope", ""),
    "warnFromAttempt": ("warn_from_attempt", ""),
    "onWrongCode": ("on_wrong_code", ""),
    "onMaxVerify": ("on_max_verify", "max_verify_path"),
    "lockedFor": ("locked_for", ""),
    "lockScope": ("lock_scope", ""),
    "maxSends": ("max_sends", ""),
    "resendCooldown": ("resend_cooldown", ""),
    "onMaxSends": ("on_max_sends", "max_sends_path"),
    "trustBrowserDays": ("trust_browser_days", ""),
    "skipWhenVerified": ("skip_when_verified", ""),
    "backupCodes": ("backup_codes", ""),
    "adminCodes": ("admin_codes", ""),
    "sharedAddress": ("shared_address", ""),
}


def build(
    section: TwoFactorSection, at: Path, report: Diagnostics, around: SharedSettings
) -> tuple[Policy, Preset] | None:
    """The policy and its preset; what is wrong goes to `report`. None when there is no such preset."""
    features = around.features
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
        _hints(given, policy, at, report)
        policy_consistency.check(policy, at, report)
    methods = _Methods(report, around.channels, around.invalid_channels, features)
    policy = replace(policy, methods=methods.of(section, preset, at), fallback=methods.fallback(section, preset, at))
    return policy, preset


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _changes(given: Mapping[str, object], preset: Preset) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key, (name, path_name) in _FIELDS.items():
        if key not in given:
            continue
        value = given[key]
        if path_name:
            word, _, path = str(value).partition(":")
            changes[name] = type(getattr(preset.policy, name))(word)
            changes[path_name] = path or None
        else:
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
        name = _FIELDS.get(key, ("", ""))[0]
        used = any(key in p.free or (name and _plain(getattr(p.policy, name)) == plain) for p in switched_on)
        if not used and (plain in features.later.get(key, ()) or (key in features.unused and plain)):
            report.error((*at, key), _not_built(key, value, features))
            continue
        if name and key not in preset.free and _plain(getattr(preset.policy, name)) != plain:
            own = _plain(getattr(preset.policy, name))
            said = "off" if own is None else own
            report.hint((*at, key), f"is an extension: preset {named} itself has {said}")


def _not_built(key: str, value: object, features: Features) -> str:
    """That `value` is not built, and which values of `key` are."""
    if key in features.unused:
        return "is not built yet"
    named: Mapping[str, tuple[str, ...]] = {"onMaxVerify": _AFTER_VERIFY, "onMaxSends": _AFTER_SENDS}
    words = named.get(key) or (tuple(w.value for w in type(value)) if isinstance(value, Enum) else ())
    ready = [word for word in words if word not in features.later.get(key, ())]
    return f"{_plain(value)!r} is not built yet" + (f"; built: {one_of(ready)}" if ready else "")


def _hints(given: Mapping[str, object], policy: Policy, at: Path, report: Diagnostics) -> None:
    by_mail = given.get("channelType") == ChannelType.EMAIL.value
    if by_mail and policy.otp_expiry < _TIGHT_EXPIRY:
        report.hint(
            (*at, "otpExpiry"),
            f"{policy.otp_expiry} s are tight for a code that comes by mail; {_TIGHT_EXPIRY} s leave time to read it",
        )


@dataclass(frozen=True, slots=True)
class _Methods:
    """Turns channel types and service identifiers into methods, against what is configured and built."""

    report: Diagnostics
    channels: Mapping[str, Channel]
    invalid: frozenset[str]
    features: Features

    def of(self, section: TwoFactorSection, preset: Preset, at: Path) -> tuple[Method, ...]:
        if section.methods is not None and preset.several_methods:
            if section.channelType:
                self.report.error((*at, "channelType"), "give either methods or channelType, not both")
            if not section.methods and section.is2FAEnabled:
                self.report.error((*at, "methods"), "is empty: name at least one method")
            listed = [
                self._one(m.channelType, m.channelServiceIdentifier, (*at, "methods", n))
                for n, m in enumerate(section.methods)
            ]
            self._twice(section.methods, at)
            return tuple(m for m in listed if m is not None)
        if not section.channelType and preset.default_methods:
            if not section.is2FAEnabled:
                return ()
            own = section.channelServiceIdentifier
            found = [self._one(kind, own or self._only(kind), at) for kind in preset.default_methods]
            return tuple(m for m in found if m is not None)
        types = one_of(t.value for t in ChannelType)
        if not section.channelType:
            if section.is2FAEnabled:
                self.report.error((*at, "channelType"), f"is missing: the kind of second factor, {types}")
            return ()
        try:
            kind = ChannelType(section.channelType)
        except ValueError:
            self.report.error((*at, "channelType"), f"{section.channelType!r} is not known; allowed: {types}")
            return ()
        if not section.is2FAEnabled:
            return ()
        method = self._one(kind, section.channelServiceIdentifier, at)
        return (method,) if method else ()

    def _twice(self, listed: list[MethodSection], at: Path) -> None:
        """A user has one registration of a kind, so a second channel for it would never be used."""
        kinds = [m.channelType for m in listed]
        for n, kind in enumerate(kinds):
            if kind in kinds[:n]:
                self.report.error((*at, "methods", n, "channelType"), f"{kind.value} is listed already: one of a kind")

    def _only(self, kind: ChannelType) -> str | None:
        """The channel of `kind` when there is just one, so that nobody need name it."""
        fitting = [c.service_identifier for c in self.channels.values() if c.type is kind]
        return fitting[0] if len(fitting) == 1 else None

    def fallback(self, section: TwoFactorSection, preset: Preset, at: Path) -> Method | None:
        given = section.fallback
        if given is None or "fallback" in preset.absent or not section.is2FAEnabled:
            return None
        return self._one(given.channelType, given.channelServiceIdentifier, (*at, "fallback"))

    def _one(self, kind: ChannelType, identifier: str | None, at: Path) -> Method | None:
        factor = FACTOR_OF_CHANNEL[kind]
        if factor not in self.features.factors:
            ready = one_of(t.value for t, f in FACTOR_OF_CHANNEL.items() if f in self.features.factors)
            self.report.error((*at, "channelType"), f"{kind.value} is not built yet; built: {ready}")
            return None
        if not KINDS_OF.get(kind):
            return Method(factor)
        fitting = [c.service_identifier for c in self.channels.values() if c.type is kind]
        there = (
            f"configured for {kind.value}: {one_of(fitting)}" if fitting else f"no {kind.value} channel is configured"
        )
        place = (*at, "channelServiceIdentifier")
        if identifier not in self.channels and self.invalid & {identifier or next(iter(self.invalid), ""), ""}:
            return None  # told at the channel
        if not identifier:
            self.report.error(place, f"is missing: the service identifier of a channel; {there}")
            return None
        channel = self.channels.get(identifier)
        if channel is None:
            self.report.error(place, f"{identifier!r} names no channel of gateway.yaml; {there}")
            return None
        if channel.type is not kind:
            self.report.error(place, f"{identifier!r} is of type {channel.type.value}, not {kind.value}; {there}")
            return None
        return Method(factor, identifier)
