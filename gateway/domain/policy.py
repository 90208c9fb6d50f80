"""The second factor that a tenant demands: every behaviour an enum, every number with its unit.

A preset is a named `Policy` (`settings.presets`); a key of the tenant's `twoFAConfigs` overrides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Annotated

from annotated_types import Interval

from gateway.domain.channel import ChannelType
from gateway.domain.setting_types import Change


class FactorKind(Enum):
    """A kind of second factor."""

    EMAIL = "email"
    SMS = "sms"
    TOTP = "totp"
    RSA = "rsa"
    EXTERNAL_EMAIL = "external-email"
    EXTERNAL_SMS = "external-sms"
    EXTERNAL_APP = "external-app"
    BACKUP_CODE = "backup-code"
    ADMIN_CODE = "admin-code"


FACTOR_OF_CHANNEL = {
    ChannelType.EMAIL: FactorKind.EMAIL,
    ChannelType.SMS: FactorKind.SMS,
    ChannelType.APP: FactorKind.TOTP,
    ChannelType.RSA: FactorKind.RSA,
}
"""The factor of each type; see `serves` for EXTERNAL."""
EXTERNAL_FACTORS = (FactorKind.EXTERNAL_EMAIL, FactorKind.EXTERNAL_SMS, FactorKind.EXTERNAL_APP)
"""The factors of a channel of type EXTERNAL, whose service makes and checks the codes."""


def serves(kind: ChannelType, factor: FactorKind) -> bool:
    """Whether a channel of type `kind` serves `factor`."""
    return factor in EXTERNAL_FACTORS if kind is ChannelType.EXTERNAL else FACTOR_OF_CHANNEL.get(kind) is factor


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
    """Proof of a first enrolment, besides the password."""

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


class AddressHint(Enum):
    """Form in which a page shows the address of a code."""

    SHORT = "short"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Method:
    """A factor that a tenant offers, and the service identifier of its channel; an authenticator app has none."""

    factor: FactorKind
    channel: str | None = None


@dataclass(frozen=True)
class Policy:
    """The second factor that one tenant demands; durations in seconds. A login keeps the policy with which it began.

    `otp_expiry` is the key `otpExpiry` of `twoFAConfigs`, which has its bounds and its description from here.
    """

    preset: str
    enabled: bool
    methods: tuple[Method, ...]
    fallback: Method | None = None

    otp_expiry: Annotated[int, Interval(ge=1, le=86_400), Change.HIGHER_IS_WEAKER] = 300
    """Lifetime of a code, in seconds. The vendor advises 60 to 120."""

    otp_max_attempts: Annotated[int, Interval(ge=1, le=1000), Change.HIGHER_IS_WEAKER] = 5
    """Maximum number of wrong codes; after them `onMaxVerify` applies."""

    enrolment: Annotated[EnrolmentRule, Change.HIGHER_IS_WEAKER] = EnrolmentRule.REQUIRED
    """Whether a user must have a factor: required or optional."""

    on_no_contact: NoContact = NoContact.REGISTER
    """Treatment of a user without a usable address: register, refuse, or path:<name>."""

    no_contact_path: str | None = None

    contact_service: str | None = None

    registration: Annotated[Registration, Change.LOWER_IS_WEAKER] = Registration.OPEN
    """Proof that a first enrolment needs besides the password."""

    registration_contact: Annotated[RegistrationContact, Change.LOWER_IS_WEAKER] = RegistrationContact.ANY
    """Source of the addresses that a user may enrol: any, the profile, or the service."""

    choose_page: ChoosePage = ChoosePage.NEVER
    """When the gateway asks a user with several methods to choose one."""

    otp_length: Annotated[int, Interval(ge=4, le=10), Change.LOWER_IS_WEAKER] = 6
    """Number of digits of a code, 4 to 10."""

    attempts_scope: Annotated[AttemptsScope, Change.LOWER_IS_WEAKER] = AttemptsScope.CODE
    """Counter of wrong codes: one for each code, or one for the user."""

    warn_from_attempt: Annotated[int, Interval(ge=1, le=1000)] | None = None
    """Number of wrong codes from which the page warns the user. Default: no warning."""

    on_wrong_code: OnWrongCode = OnWrongCode.ASK
    """Reaction to a wrong code: ask again, or send a new code."""

    on_max_verify: OnMaximum = OnMaximum.NEW_CODE
    """Reaction to the last allowed wrong code: newCode, lock, stop, or path:<name>."""

    max_verify_path: str | None = None

    locked_for: Annotated[int, Interval(ge=0, le=604_800), Change.LOWER_IS_WEAKER] = 0
    """Duration of a lock, in seconds."""

    lock_scope: Annotated[LockScope, Change.HIGHER_IS_WEAKER] = LockScope.TENANT
    """Part that a lock closes: the tenant, or the app in which the last code was wrong. The count is of all apps: while
    one is locked, another gives one attempt."""

    max_sends: Annotated[int, Interval(ge=1, le=100), Change.HIGHER_IS_WEAKER] = 5
    """Maximum number of codes that the gateway sends in one login, the first included."""

    resend_cooldown: Annotated[int, Interval(ge=0, le=3600), Change.LOWER_IS_WEAKER] = 60
    """Minimum time between two codes to one user, in seconds."""

    on_max_sends: OnMaximum = OnMaximum.STOP
    """Reaction to the last allowed send: stop, lock, or path:<name>."""

    max_sends_path: str | None = None

    trust_browser_days: Annotated[int, Change.HIGHER_IS_WEAKER] = 0
    """Number of days for which a user may trust a browser: 0, 14, 30, 60 or 90. With 0 no browser is trusted."""

    skip_when_verified: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Whether a factor that the user proved in the current session is enough."""

    backup_codes: Annotated[int, Interval(ge=0, le=50)] = 0
    """Number of backup codes that a user gets. With 0 there are none."""

    max_apps: Annotated[int, Interval(ge=1, le=3), Change.HIGHER_IS_WEAKER] = 1
    """Maximum number of authenticator apps that a user sets up on their own page, each with a name, 1 to 3."""

    admin_codes: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Whether the gateway accepts an administrator's code instead of a factor."""

    shared_address: SharedAddress = SharedAddress.NEWEST
    """Treatment of two users with one address: the newest code alone counts, or each user's own."""

    address_hint: Annotated[AddressHint, Change.HIGHER_IS_WEAKER] = AddressHint.DOMAIN
    """Form of a user's address on the pages: `domain` shows an•••@example.com, `short` shows a•••@e•••.com. A stranger
    who has only the password of a user reads it too. The address that a user has just typed is shown in full."""

    @cached_property
    def offered(self) -> tuple[Method, ...]:
        """Every method of the tenant in its order, the fallback last."""
        return (*self.methods, self.fallback) if self.fallback else self.methods

    @cached_property
    def by_factor(self) -> Mapping[FactorKind, Method]:
        """The tenant's method for each factor that it offers."""
        return {method.factor: method for method in reversed(self.offered)}
