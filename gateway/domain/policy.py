"""The second factor that a tenant demands: every behaviour an enum, every number with its unit.

A preset is a named `Policy` (`settings.presets`); a key of the tenant's `twoFAConfigs` overrides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Annotated

from gateway.domain.channel import ChannelType
from gateway.domain.setting_types import Change


class FactorKind(Enum):
    """A kind of second factor."""

    EMAIL = "email"
    SMS = "sms"
    TOTP = "totp"
    RSA = "rsa"
    EXTERNAL = "external"
    BACKUP_CODE = "backup-code"
    ADMIN_CODE = "admin-code"


FACTOR_OF_CHANNEL = {
    ChannelType.EMAIL: FactorKind.EMAIL,
    ChannelType.SMS: FactorKind.SMS,
    ChannelType.APP: FactorKind.TOTP,
    ChannelType.RSA: FactorKind.RSA,
    ChannelType.EXTERNAL: FactorKind.EXTERNAL,
}


class EnrolmentRule(Enum):
    """Whether a user must have a factor."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class NoContact(Enum):
    """Treatment of a user without a usable contact."""

    REGISTER = "register"
    REFUSE = "refuse"
    PATH = "path"


class Registration(Enum):
    """Proof that a first enrolment needs besides the password."""

    OPEN = "open"
    GUARDED = "guarded"
    ADMIN_CODE = "admin_code"


class RegistrationContact(Enum):
    """Source of an address that a user enrols."""

    ANY = "any"
    PROFILE = "profile"
    SERVICE = "service"


class ChoosePage(Enum):
    """When the gateway asks a user with several methods for their choice."""

    NEVER = "never"
    COMBINED = "combined"
    SEVERAL = "several"


class AttemptsScope(Enum):
    """Counter of wrong codes."""

    CODE = "code"
    USER = "user"


class OnWrongCode(Enum):
    """Reaction to a wrong code."""

    ASK = "ask"
    RESEND = "resend"


class OnMaximum(Enum):
    """Reaction to the last allowed attempt or send."""

    NEW_CODE = "newCode"
    LOCK = "lock"
    STOP = "stop"
    PATH = "path"


class LockScope(Enum):
    """Part that a lock closes."""

    TENANT = "tenant"
    APP = "app"


class SharedAddress(Enum):
    """Treatment of two users with one address."""

    NEWEST = "newest"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True)
class Method:
    """A factor that a tenant offers, and the service identifier of its channel; an authenticator app has none."""

    factor: FactorKind
    channel: str | None = None


@dataclass(frozen=True)
class Policy:
    """The second factor that one tenant demands; durations in seconds. A login keeps the policy with which it began."""

    preset: str
    enabled: bool
    methods: tuple[Method, ...]
    fallback: Method | None = None
    enrolment: Annotated[EnrolmentRule, Change.HIGHER_IS_WEAKER] = EnrolmentRule.REQUIRED
    on_no_contact: NoContact = NoContact.REGISTER
    no_contact_path: str | None = None
    registration: Annotated[Registration, Change.LOWER_IS_WEAKER] = Registration.OPEN
    registration_contact: Annotated[RegistrationContact, Change.LOWER_IS_WEAKER] = RegistrationContact.ANY
    choose_page: ChoosePage = ChoosePage.NEVER
    otp_length: Annotated[int, Change.LOWER_IS_WEAKER] = 6
    otp_expiry: Annotated[int, Change.HIGHER_IS_WEAKER] = 300
    otp_max_attempts: Annotated[int, Change.HIGHER_IS_WEAKER] = 5
    attempts_scope: Annotated[AttemptsScope, Change.LOWER_IS_WEAKER] = AttemptsScope.CODE
    warn_from_attempt: int | None = None
    on_wrong_code: OnWrongCode = OnWrongCode.ASK
    on_max_verify: OnMaximum = OnMaximum.NEW_CODE
    max_verify_path: str | None = None
    locked_for: Annotated[int, Change.LOWER_IS_WEAKER] = 0
    lock_scope: LockScope = LockScope.TENANT
    max_sends: Annotated[int, Change.HIGHER_IS_WEAKER] = 5
    resend_cooldown: Annotated[int, Change.LOWER_IS_WEAKER] = 60
    on_max_sends: OnMaximum = OnMaximum.STOP
    max_sends_path: str | None = None
    trust_browser_days: Annotated[int, Change.HIGHER_IS_WEAKER] = 0
    skip_when_verified: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    backup_codes: int = 0
    admin_codes: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    shared_address: SharedAddress = SharedAddress.NEWEST

    @cached_property
    def offered(self) -> tuple[Method, ...]:
        """Every method of the tenant in its order, the fallback last."""
        return (*self.methods, self.fallback) if self.fallback else self.methods

    @cached_property
    def by_factor(self) -> Mapping[FactorKind, Method]:
        """The tenant's method for each factor that it offers."""
        return {method.factor: method for method in reversed(self.offered)}
