"""What a tenant demands of a second factor: every behaviour an enum, every number with its unit.

A preset is a named `Policy` (`settings.presets`); a key of the tenant's `twoFAConfigs` beats it.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.domain.channel import ChannelType


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
    """Must a user have a factor?"""

    REQUIRED = "required"
    OPTIONAL = "optional"


class NoContact(Enum):
    """What happens to a user without a usable contact."""

    REGISTER = "register"
    REFUSE = "refuse"
    PATH = "path"


class Registration(Enum):
    """What a first registration needs besides the password (GW-27)."""

    OPEN = "open"
    GUARDED = "guarded"
    ADMIN_CODE = "admin_code"

    @property
    def needs_admin_code(self) -> bool:
        """Whether some user may need an administrator's code to register."""
        return self is not Registration.OPEN


class RegistrationContact(Enum):
    """Where a registered address may come from."""

    ANY = "any"
    PROFILE = "profile"
    SERVICE = "service"


class ChoosePage(Enum):
    """When a user with several methods is asked which one."""

    NEVER = "never"
    COMBINED = "combined"
    SEVERAL = "several"


class AttemptsScope(Enum):
    """What a wrong code is counted against."""

    CODE = "code"
    USER = "user"


class OnWrongCode(Enum):
    """What follows a wrong code."""

    ASK = "ask"
    RESEND = "resend"


class OnMaximum(Enum):
    """What follows the last allowed attempt or send."""

    NEW_CODE = "newCode"
    LOCK = "lock"
    STOP = "stop"
    PATH = "path"


class LockScope(Enum):
    """What a preset's lock closes."""

    TENANT = "tenant"
    APP = "app"


class SharedAddress(Enum):
    """What two users with one address mean to each other."""

    NEWEST = "newest"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True)
class Method:
    """One way a tenant offers: a factor and the channel (by service identifier) that serves it; APP has none."""

    factor: FactorKind
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What one tenant demands; durations in seconds. Pinned in a login when it begins."""

    preset: str
    enabled: bool
    methods: tuple[Method, ...]
    fallback: Method | None = None
    enrolment: EnrolmentRule = EnrolmentRule.REQUIRED
    on_no_contact: NoContact = NoContact.REGISTER
    no_contact_path: str | None = None
    registration: Registration = Registration.OPEN
    registration_contact: RegistrationContact = RegistrationContact.ANY
    choose_page: ChoosePage = ChoosePage.NEVER
    otp_length: int = 6
    otp_expiry: int = 300
    otp_max_attempts: int = 5
    attempts_scope: AttemptsScope = AttemptsScope.CODE
    warn_from_attempt: int | None = None
    on_wrong_code: OnWrongCode = OnWrongCode.ASK
    on_max_verify: OnMaximum = OnMaximum.NEW_CODE
    max_verify_path: str | None = None
    locked_for: int = 0
    lock_scope: LockScope = LockScope.TENANT
    max_sends: int = 5
    resend_cooldown: int = 60
    on_max_sends: OnMaximum = OnMaximum.STOP
    max_sends_path: str | None = None
    trust_browser_days: int = 0
    skip_when_verified: bool = False
    backup_codes: int = 0
    admin_codes: bool = False
    shared_address: SharedAddress = SharedAddress.NEWEST

    @property
    def offered(self) -> tuple[Method, ...]:
        """Every method of the tenant in its order, the fallback last."""
        return (*self.methods, self.fallback) if self.fallback else self.methods

    def method(self, factor: FactorKind) -> Method | None:
        """The tenant's method for `factor`, or None when it offers none."""
        return next((m for m in self.offered if m.factor is factor), None)
