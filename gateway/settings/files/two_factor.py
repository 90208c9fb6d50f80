"""The tenant's `twoFAConfigs`, which becomes one `domain.policy.Policy`.

EFCX's own five keys and the gateway's further ones are checked against the preset, the configured channels and the
built features. `is2FAEnabled` is mandatory and a boolean, so a truncated file never turns the second factor off.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import Enum
from functools import partial
from math import ceil
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field, create_model
from pydantic.alias_generators import to_camel

from gateway.domain.channel import KINDS_OF, Channel, ChannelType
from gateway.domain.policy import (
    EXTERNAL_FACTORS,
    FACTOR_OF_CHANNEL,
    AttemptsScope,
    FactorKind,
    Method,
    NoContact,
    OnMaximum,
    OnWrongCode,
    Policy,
    RegistrationContact,
)
from gateway.domain.setting_types import Checked, matching
from gateway.domain.tenant import NAME_OF_PATH
from gateway.domain.web_services import WebServices
from gateway.settings.features import Features
from gateway.settings.files.gateway_file import SharedSettings
from gateway.settings.presets import DEFAULT, PRESETS, Preset
from gateway.settings.source.descriptions import docstrings
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.validation import Section
from gateway.settings.source.yaml_source import Path

TRUST_DAYS = (0, 14, 30, 60, 90)
_AFTER: Mapping[str, tuple[str, ...]] = {"onMaxVerify": ("newCode", "lock", "stop"), "onMaxSends": ("stop", "lock")}
_TIGHT_EXPIRY = 120
_EXAMPLES = {
    "otpExpiry": _TIGHT_EXPIRY,
    "otpMaxAttempts": 5,
    "otpLength": 6,
    "maxSends": 3,
    "onNoContact": "path:agent",
    "onMaxVerify": "path:agent",
    "onMaxSends": "path:agent",
}
_EXTERNAL = "EXTERNAL"
_OF_OUR_CODES = frozenset({"otpLength", "otpExpiry", "methods", "onWrongCode"})
"""Keys that mean nothing where a service makes the codes."""
_SHORT_CODE = 6
_LONG_TRUST = 30
"""Days beyond which a trusted browser on a shared desk is a risk."""
_PATH = f"path:{NAME_OF_PATH}"
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


def _describe(name: str, schema: dict[str, Any]) -> None:
    """Gives a key the description of the field of `Policy` that it sets."""
    if text := docstrings(Policy).get(name):
        schema["description"] = text


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


class _MethodKeys(Section):
    is2FAEnabled: bool
    """Whether the gateway requires a second factor: true or false, always written out."""

    channelType: Annotated[str, _words(*(kind.value for kind in ChannelType))] | None = None
    """Kind of second factor: EMAIL, SMS, APP, RSA or EXTERNAL."""

    channelServiceIdentifier: str | None = None
    """Service identifier of a configured channel of that type; APP needs none."""

    preset: Annotated[str, _words(*PRESETS)] = DEFAULT
    """Vendor whose documented behaviour is the default of every other key."""

    methods: list[MethodSection] | None = None
    """Methods that a user may choose, in presets that offer several. Default: those of the preset."""

    fallback: MethodSection | None = None
    """Method for users without an address for the first one."""

    contactService: str | None = None
    """Web-services channel that supplies the addresses of a user. With `codeGeneration: EXTERNAL` it makes and checks
    the codes too."""

    codeGeneration: Literal["INTERNAL", "EXTERNAL"] | None = None
    """Maker of the code: INTERNAL is the gateway, EXTERNAL the services of `contactService`. Default: INTERNAL."""


PATH_FIELDS = {
    "onNoContact": "no_contact_path",
    "onMaxVerify": "max_verify_path",
    "onMaxSends": "max_sends_path",
}
"""Keys whose value may be `path:<name>`, each with the field of `Policy` for the name."""
_WITHOUT_KEY = {"preset", "enabled", "methods", "fallback", "contact_service", *PATH_FIELDS.values()}
FIELDS: Mapping[str, str] = {to_camel(f.name): f.name for f in fields(Policy) if f.name not in _WITHOUT_KEY}
"""The field of `Policy` that each key sets: `otpExpiry` sets `otp_expiry`."""
NUMBERS = tuple(sorted(key for key, name in FIELDS.items() if get_type_hints(Policy)[name] in (int, int | None)))
"""The keys whose values are whole numbers."""
_FORMS: Mapping[str, Any] = {
    **get_type_hints(Policy, include_extras=True),
    "on_no_contact": Annotated[str, _ending("register", "refuse")],
    "on_max_verify": Annotated[str, _ending(*_AFTER["onMaxVerify"])],
    "on_max_sends": Annotated[str, _ending(*_AFTER["onMaxSends"])],
    "trust_browser_days": Annotated[int, AfterValidator(_trust), _words(*TRUST_DAYS)],
}
"""What the file may have for a field of `Policy`."""
_POLICY_KEYS: dict[str, Any] = {
    key: (_FORMS[name] | None, Field(None, json_schema_extra=partial(_describe, name))) for key, name in FIELDS.items()
}
_WithPolicyKeys: Any = create_model("_WithPolicyKeys", __base__=_MethodKeys, **_POLICY_KEYS)


class TwoFactorSection(_WithPolicyKeys, _MethodKeys):
    """Second factor of the tenant: EFCX's keys and the gateway's own."""


def build(section: TwoFactorSection, at: Path, report: Diagnostics, shared: SharedSettings) -> Policy | None:
    """Makes the policy; None when there is no such preset. Reports what is wrong."""
    features, enabled = shared.features, section.is2FAEnabled
    preset = PRESETS.get(section.preset)
    if preset is None or section.preset not in features.presets:
        what = "is not known" if preset is None else "is not built yet"
        report.error((*at, "preset"), f"{section.preset!r} {what}; allowed: {one_of(features.presets)}")
        return None
    given = {key: value for key in TwoFactorSection.model_fields if (value := getattr(section, key)) is not None}
    _check_keys(given, preset, at, report, features)
    policy = replace(preset.policy, enabled=enabled, **_changes(given, preset))
    external = section.codeGeneration == _EXTERNAL and "contactService" not in preset.absent
    if enabled:
        needed = preset.required - (_OF_OUR_CODES if external else frozenset())
        for key in sorted(needed - given.keys()):
            number = "" if "path" in str(_EXAMPLES[key]) else " a whole number above 0,"
            report.error((*at, key), f"is missing: preset {section.preset} needs{number} as {key}: {_EXAMPLES[key]}")
        if section.channelType == ChannelType.EMAIL.value and policy.otp_expiry < _TIGHT_EXPIRY:
            report.hint(
                (*at, "otpExpiry"),
                f"{policy.otp_expiry} s are tight for a code that comes by mail; "
                f"{_TIGHT_EXPIRY} s leave time to read it",
            )
        _check_policy(policy, at, report)
    service = _contact_service(section, policy, at, report, shared, external=external) if enabled else None
    if external:
        return _of_service(policy, given, service, at, report)
    policy = replace(policy, methods=_methods(section, preset, at, report, shared))
    if service:
        policy = _with_contacts(policy, service, at, report)
    if section.fallback and enabled and "fallback" not in preset.absent:
        fallback = _method(section.fallback, (*at, "fallback"), report, shared)
        if fallback and any(fallback.factor is method.factor for method in policy.methods):
            report.error((*at, "fallback", "channelType"), "is the first method already: name another one")
        policy = replace(policy, fallback=fallback)
    for place, kind in (
        (at, section.channelType),
        ((*at, "fallback"), section.fallback and section.fallback.channelType),
    ):
        named = _plain(kind)
        if enabled and named in {t.value for t in ChannelType} - {t.value for t in preset.types}:
            allowed = one_of(t.value for t in preset.types)
            report.error((*place, "channelType"), f"preset {section.preset} has no {named}; allowed: {allowed}")
    return policy


def _check_policy(policy: Policy, at: Path, report: Diagnostics) -> None:
    """Checks that the keys of an enabled policy fit together, and reports values that are allowed but unwise.

    A key that would silently demand less than the file says is an error. Attempts counted for a user end in a lock,
    those for a code in a new code or in the end of the login.
    """
    if policy.otp_length < _SHORT_CODE:
        report.warning((*at, "otpLength"), f"{policy.otp_length} digits are few; use {_SHORT_CODE} or more")
    if policy.trust_browser_days > _LONG_TRUST:
        report.warning(
            (*at, "trustBrowserDays"),
            f"{policy.trust_browser_days} days are long where desks are shared; use {_LONG_TRUST} or fewer",
        )
    locks, by_user = policy.on_max_verify is OnMaximum.LOCK, policy.attempts_scope is AttemptsScope.USER
    if locks and not by_user:
        report.error((*at, "onMaxVerify"), "'lock' needs attemptsScope: user, as a lock holds a user and not a code")
    elif by_user and not locks:
        word = policy.on_max_verify.value
        report.error((*at, "onMaxVerify"), f"{word!r} needs attemptsScope: code; with user it must be lock")
    elif by_user and policy.locked_for < 1:
        report.error((*at, "lockedFor"), "must be at least 1: a lock of no time is none")


def _contact_service(
    section: TwoFactorSection, policy: Policy, at: Path, report: Diagnostics, shared: SharedSettings, *, external: bool
) -> Channel | None:
    """The channel of `contactService`; reports what is missing, and what does not fit it."""
    name, source = section.contactService, getattr(section, "registrationContact")  # noqa: B009 - made at run time
    if section.codeGeneration == _EXTERNAL and not external:
        report.error((*at, "codeGeneration"), f"EXTERNAL does not exist in preset {section.preset}")
    if name is None and (external or source is RegistrationContact.SERVICE):
        why = "codeGeneration: EXTERNAL" if external else "registrationContact: service"
        report.error((*at, "contactService"), f"is missing: {why} needs the name of a channel of type EXTERNAL")
    if name is None or "contactService" in PRESETS[section.preset].absent:
        return None
    if source not in (None, RegistrationContact.SERVICE):
        report.error((*at, "registrationContact"), f"{source.value} does not fit contactService; write service")
    if policy.on_no_contact is NoContact.REGISTER:
        report.error(
            (*at, "onNoContact"),
            "register does not fit contactService: users cannot add to the contacts of a service; write path:<name>",
        )
    return _channel(ChannelType.EXTERNAL, name, (*at, "contactService"), report, shared)


def _of_service(
    policy: Policy, given: Mapping[str, object], channel: Channel | None, at: Path, report: Diagnostics
) -> Policy:
    """The policy of a tenant whose codes `channel` makes and checks."""
    for key in sorted(_OF_OUR_CODES & given.keys()):
        report.error((*at, key), "does not exist with codeGeneration: EXTERNAL: the service decides it")
    services = channel.service if channel else None
    if channel is None or not isinstance(services, WebServices):
        return policy
    for key in ("send", "code", "code_timeout_ms"):
        if getattr(services, key) is None:
            why = f"{channel.service_identifier} has no web_services.{key}, which codeGeneration: EXTERNAL needs"
            report.error((*at, "contactService"), why)
    return replace(
        policy,
        methods=tuple(Method(factor, channel.service_identifier) for factor in EXTERNAL_FACTORS),
        contact_service=channel.service_identifier,
        registration_contact=RegistrationContact.SERVICE,
        on_wrong_code=OnWrongCode.ASK,
        otp_expiry=ceil(services.code_life) or policy.otp_expiry,
        otp_length=services.code_digits or policy.otp_length,
    )


def _with_contacts(policy: Policy, channel: Channel, at: Path, report: Diagnostics) -> Policy:
    """The policy of a tenant that sends its own codes to the contacts of `channel`."""
    for method in policy.methods:
        if method.factor not in (FactorKind.EMAIL, FactorKind.SMS):
            report.error((*at, "methods"), f"{method.factor.value} does not fit contactService: EMAIL and SMS do")
    contact = RegistrationContact.SERVICE
    return replace(policy, contact_service=channel.service_identifier, registration_contact=contact)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _changes(given: Mapping[str, object], preset: Preset) -> dict[str, Any]:
    changes: dict[str, Any] = {FIELDS[key]: value for key, value in given.items() if key in FIELDS}
    for key in PATH_FIELDS.keys() & given.keys():
        word, _, path = str(given[key]).partition(":")
        changes[FIELDS[key]] = type(getattr(preset.policy, FIELDS[key]))(word)
        changes[PATH_FIELDS[key]] = path or None
    return changes


def _check_keys(given: Mapping[str, object], preset: Preset, at: Path, report: Diagnostics, features: Features) -> None:
    named = preset.policy.preset
    switched_on = [PRESETS[name] for name in features.presets]
    for key, value in given.items():
        plain, name = _plain(value), FIELDS.get(key, "")
        later = plain in features.later.get(key, ())
        used = any(
            (key in p.free and not later) or (name and _plain(getattr(p.policy, name)) == plain) for p in switched_on
        )
        if key in preset.absent:
            report.error((*at, key), f"does not exist in preset {named}")
        elif not used and later:
            report.error((*at, key), _not_built(key, value, features))
        elif name and key not in preset.free and (own := _plain(getattr(preset.policy, name))) != plain:
            report.hint((*at, key), f"is an extension: without this line, preset {named} has {_word(own)}")


def _word(value: object) -> str:
    """A value as a settings file writes it."""
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _not_built(key: str, value: object, features: Features) -> str:
    """The sentence that `value` is not built, and which values of `key` are."""
    words = _AFTER.get(key) or (tuple(w.value for w in type(value)) if isinstance(value, Enum) else ())
    ready = [word for word in words if word not in features.later.get(key, ())]
    return f"{_plain(value)!r} is not built yet" + (f"; built: {one_of(ready)}" if ready else "")


def _methods(
    section: TwoFactorSection, preset: Preset, at: Path, report: Diagnostics, shared: SharedSettings
) -> tuple[Method, ...]:
    """Makes methods of channel types and service identifiers, which must be configured and built."""
    enabled, kind, own = section.is2FAEnabled, section.channelType, section.channelServiceIdentifier
    types = [t.value for t in ChannelType]
    wanted: list[tuple[MethodSection, Path]] = []
    if section.methods is not None and preset.several_methods:
        if kind:
            report.error((*at, "channelType"), "give either methods or channelType, not both")
        if not section.methods and enabled:
            report.error((*at, "methods"), "is empty: name at least one method")
        wanted = [(method, (*at, "methods", n)) for n, method in enumerate(section.methods)]
        listed = [method.channelType for method in section.methods]
        for n, one in enumerate(listed):
            if one in listed[:n]:  # a user has one enrolment of a kind: a second channel for it would never be used
                report.error((*at, "methods", n, "channelType"), f"{one.value} is listed already: one of a kind")
    elif kind and kind not in types:
        report.error((*at, "channelType"), f"{kind!r} is not known; allowed: {one_of(types)}")
    elif not enabled:
        return ()
    elif kind:
        wanted = [(MethodSection(channelType=ChannelType(kind), channelServiceIdentifier=own), at)]
    elif preset.default_methods:
        for default in preset.default_methods:
            fitting = _identifiers(default, shared)
            only = fitting[0] if len(fitting) == 1 else None
            wanted.append((MethodSection(channelType=default, channelServiceIdentifier=own or only), at))
    elif preset.several_methods:
        report.error((*at, "methods"), "is missing: list at least one, as {channelType: EMAIL, …}")
    else:
        report.error((*at, "channelType"), f"is missing: the kind of second factor, {one_of(types)}")
    found = [_method(method, place, report, shared) for method, place in wanted]
    return tuple(method for method in found if method)


def _identifiers(kind: ChannelType, shared: SharedSettings) -> list[str]:
    """The service identifiers of the configured channels of `kind`."""
    return [channel.service_identifier for channel in shared.channels.values() if channel.type is kind]


def _method(section: MethodSection, at: Path, report: Diagnostics, shared: SharedSettings) -> Method | None:
    kind, identifier = section.channelType, section.channelServiceIdentifier
    factor, factors = FACTOR_OF_CHANNEL.get(kind), shared.features.factors
    if factor is None:
        report.error((*at, "channelType"), f"{kind.value} is no method here: write codeGeneration: EXTERNAL")
        return None
    if factor not in factors:
        ready = one_of(t.value for t, f in FACTOR_OF_CHANNEL.items() if f in factors)
        report.error((*at, "channelType"), f"{kind.value} is not built yet; built: {ready}")
        return None
    if not KINDS_OF[kind]:
        return Method(factor)
    if not identifier and kind is ChannelType.RSA and len(_identifiers(kind, shared)) == 1:
        [identifier] = _identifiers(kind, shared)  # EFCX's key names a mailbox or number, which RSA has not
    channel = _channel(kind, identifier, (*at, "channelServiceIdentifier"), report, shared)
    return Method(factor, channel.service_identifier) if channel else None


def _channel(
    kind: ChannelType, identifier: str | None, place: Path, report: Diagnostics, shared: SharedSettings
) -> Channel | None:
    """The configured channel `identifier` of type `kind`; reports at `place`."""
    fitting, invalid = _identifiers(kind, shared), shared.invalid_channels
    there = f"configured for {kind.value}: {one_of(fitting)}" if fitting else f"no {kind.value} channel is configured"
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
        return channel
    return None
