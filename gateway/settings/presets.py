"""The presets: each is a named policy that behaves as one vendor documents.

A preset is data (the table of FEATURES), and a key of the tenant's `twoFAConfigs` overrides it. No other module names a
preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.domain.channel import ChannelType
from gateway.domain.policy import (
    AttemptsScope,
    ChoosePage,
    EnrolmentRule,
    LockScope,
    NoContact,
    OnMaximum,
    OnWrongCode,
    Policy,
    RegistrationContact,
    SharedAddress,
)

DEFAULT = "efcx"
_ASKED = frozenset({"otpExpiry", "otpMaxAttempts"})


@dataclass(frozen=True, slots=True)
class Preset:
    """A policy, and the rules for the keys that change it.

    `required` keys have no default, `absent` ones do not exist in this preset, and the tenant chooses `free` ones.
    Every other key that differs from `policy` is an extension. `needs_otp_manager` are the channel types for which the
    vendor requires `Otp_Manager_Url`. `types` are the channel types that a tenant may name. `default_methods` are those
    of a tenant that names none. `features`: this version carries out the whole preset.
    """

    policy: Policy
    required: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    needs_otp_manager: frozenset[ChannelType] = frozenset()
    several_methods: bool = False
    types: tuple[ChannelType, ...] = tuple(ChannelType)
    default_methods: tuple[ChannelType, ...] = ()
    features: bool = False


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "efcx": Preset(
            Policy(preset="efcx", enabled=True, methods=()),
            required=_ASKED,
            absent=frozenset({"fallback", "methods", "contactService"}),
            free=_ASKED,
            needs_otp_manager=frozenset({ChannelType.EMAIL, ChannelType.SMS}),
            features=True,
        ),
        "cloudcx": Preset(
            Policy(
                preset="cloudcx",
                enabled=True,
                methods=(),
                enrolment=EnrolmentRule.OPTIONAL,
                registration_contact=RegistrationContact.PROFILE,
                choose_page=ChoosePage.COMBINED,
                attempts_scope=AttemptsScope.USER,
                warn_from_attempt=3,
                on_max_verify=OnMaximum.LOCK,
                locked_for=300,
                backup_codes=10,
                admin_codes=True,
                shared_address=SharedAddress.SEPARATE,
            ),
            absent=frozenset({"fallback", "contactService"}),
            free=frozenset({"enrolment", "trustBrowserDays"}),
            several_methods=True,
            default_methods=(ChannelType.EMAIL, ChannelType.APP),
            features=True,
        ),
        "sinch": Preset(
            Policy(
                preset="sinch",
                enabled=True,
                methods=(),
                on_no_contact=NoContact.REFUSE,
                registration_contact=RegistrationContact.PROFILE,
                otp_max_attempts=3,
                attempts_scope=AttemptsScope.USER,
                on_max_verify=OnMaximum.LOCK,
                locked_for=1800,
                lock_scope=LockScope.APP,
                shared_address=SharedAddress.SEPARATE,
            ),
            absent=frozenset({"methods", "contactService"}),
            free=frozenset({"fallback", "otpExpiry", "otpMaxAttempts", "lockedFor"}),
            types=(ChannelType.SMS, ChannelType.EMAIL),
            features=True,
        ),
        "genesys": Preset(
            Policy(
                preset="genesys",
                enabled=True,
                methods=(),
                on_no_contact=NoContact.PATH,
                registration_contact=RegistrationContact.PROFILE,
                choose_page=ChoosePage.SEVERAL,
                on_wrong_code=OnWrongCode.RESEND,
                on_max_verify=OnMaximum.PATH,
                on_max_sends=OnMaximum.PATH,
                resend_cooldown=0,
                skip_when_verified=True,
                shared_address=SharedAddress.SEPARATE,
            ),
            required=frozenset(
                {"onNoContact", "otpLength", "otpExpiry", "otpMaxAttempts", "onMaxVerify", "maxSends", "onMaxSends"}
            ),
            absent=frozenset({"fallback"}),
            free=frozenset(
                {"onNoContact", "otpLength", "otpExpiry", "otpMaxAttempts", "onMaxVerify", "maxSends", "onMaxSends"}
                | {"registrationContact", "contactService", "codeGeneration"}
            ),
            several_methods=True,
            features=True,
        ),
    }
)
