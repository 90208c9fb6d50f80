"""One factor that a user has enrolled, and the set of all of them."""

import hashlib
from dataclasses import dataclass, field, replace

from gateway.domain.policy import FactorKind


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An address (factors that send) or a secret (an app's, base32). `added_at` is in seconds since the epoch."""

    factor: FactorKind
    address: str = ""
    secret: str = field(default="", repr=False)
    added_at: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of factor, address and secret: names this very enrolment in a challenge."""
        return hashlib.sha256(repr((self.factor.value, self.address, self.secret)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EnrolmentSet:
    """All enrolments of one user: one sealed value in Keycloak.

    `version` 0 is "never written". Each write is the next version; turning off the last factor writes an empty one.
    `backup_codes` are the unused ones. `last_burn` names the owner that redeemed the last one. A higher `trust_epoch`
    ends trusted browsers.
    """

    version: int = 0
    enrolments: tuple[Enrolment, ...] = ()
    backup_codes: tuple[str, ...] = field(default=(), repr=False)
    trust_epoch: int = 0
    last_burn: str = ""

    @property
    def used_all_codes(self) -> bool:
        """Whether the user had backup codes and has none left. Without a factor they have none to use."""
        return self.last_burn != "" and self.enrolments != () and not self.backup_codes

    def of(self, factor: FactorKind) -> Enrolment | None:
        """The enrolment of `factor`, or None."""
        return next((e for e in self.enrolments if e.factor is factor), None)

    def same_factors(self, other: "EnrolmentSet") -> bool:
        """Whether both hold the same factors, and no factor or trust was taken away in between.

        Unused backup codes and the version may differ: a login relies on neither.
        """
        return self.trust_epoch == other.trust_epoch and self._keys == other._keys

    @property
    def _keys(self) -> frozenset[tuple[FactorKind, str, str]]:
        return frozenset((e.factor, e.address, e.secret) for e in self.enrolments)

    def with_enrolment(self, enrolment: Enrolment) -> "EnrolmentSet":
        """The next version, with `enrolment` in place of its factor. Trust ends when the user had a factor before."""
        kept = tuple(e for e in self.enrolments if e.factor is not enrolment.factor)
        epoch = self.trust_epoch + 1 if self.enrolments else self.trust_epoch
        return replace(self, version=self.version + 1, enrolments=(*kept, enrolment), trust_epoch=epoch)

    def without(self, factor: FactorKind) -> "EnrolmentSet":
        """The next version without `factor`. Trust ends, and with the last factor the backup codes."""
        kept = tuple(e for e in self.enrolments if e.factor is not factor)
        return replace(
            self,
            version=self.version + 1,
            enrolments=kept,
            backup_codes=self.backup_codes if kept else (),
            trust_epoch=self.trust_epoch + 1,
        )
