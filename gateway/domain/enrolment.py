"""One factor that a user has enrolled, and the set of all of them."""

import hashlib
from dataclasses import dataclass, field, replace

from gateway.domain.policy import FactorKind

BESIDE = "new"
"""In place of the id of an app: a further app, and no other one ends."""
ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An address (factors that send) or a secret (an app's, base32). `added_at` is in seconds since the epoch.

    `name` is what the user calls the device of an app.
    """

    factor: FactorKind
    address: str = ""
    secret: str = field(default="", repr=False)
    added_at: float = 0.0
    name: str = ""

    @property
    def id(self) -> str:
        """Names one of several apps of a user in a form."""
        return self.digest[:ID_LENGTH]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of factor, address and secret: names this very enrolment in a challenge."""
        return hashlib.sha256(repr((self.factor.value, self.address, self.secret)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EnrolmentSet:
    """All enrolments of one user: one sealed value in Keycloak.

    `version` 0 is "never written". Each write is the next version; turning off the last factor writes an empty one.
    `backup_codes` are the unused ones, `used_codes` the used ones of the same sheet. `last_burn` names the owner that
    redeemed the last one. A higher `trust_epoch` ends trusted browsers. A user may have several apps.
    """

    version: int = 0
    enrolments: tuple[Enrolment, ...] = ()
    backup_codes: tuple[str, ...] = field(default=(), repr=False)
    trust_epoch: int = 0
    last_burn: str = ""
    used_codes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def used_all_codes(self) -> bool:
        """Whether the user had backup codes and has none left. Without a factor they have none to use."""
        return self.last_burn != "" and self.enrolments != () and not self.backup_codes

    def of(self, factor: FactorKind) -> Enrolment | None:
        """The enrolment of `factor`, or None."""
        return next((e for e in self.enrolments if e.factor is factor), None)

    def all_of(self, factor: FactorKind) -> tuple[Enrolment, ...]:
        """The enrolments of `factor`: several only of an app."""
        return tuple(e for e in self.enrolments if e.factor is factor)

    @property
    def methods(self) -> tuple[Enrolment, ...]:
        """One enrolment for each factor. That of several apps has all their secrets, separated by blanks."""
        kinds = dict.fromkeys(e.factor for e in self.enrolments)
        return tuple(_folded(self.all_of(kind)) for kind in kinds)

    def same_factors(self, other: "EnrolmentSet") -> bool:
        """Whether both hold the same factors, and no factor or trust was taken away in between.

        Unused backup codes and the version may differ: a login relies on neither.
        """
        return self.trust_epoch == other.trust_epoch and self._keys == other._keys

    @property
    def _keys(self) -> frozenset[tuple[FactorKind, str, str]]:
        return frozenset((e.factor, e.address, e.secret) for e in self.enrolments)

    def with_enrolment(self, enrolment: Enrolment, target: str = "") -> "EnrolmentSet":
        """The next version, with `enrolment` in place of its factor. Trust ends when the user had a factor before.

        `target` is the id of the one app whose place it takes, or `BESIDE`.
        """
        kept = self._others(enrolment.factor, target)
        epoch = self.trust_epoch + 1 if self.enrolments else self.trust_epoch
        return replace(self, version=self.version + 1, enrolments=(*kept, enrolment), trust_epoch=epoch)

    def without(self, factor: FactorKind, target: str = "") -> "EnrolmentSet":
        """The next version without `factor`, or without the one app `target`.

        Trust ends, and with the last factor the backup codes.
        """
        kept = self._others(factor, target)
        return replace(
            self,
            version=self.version + 1,
            enrolments=kept,
            backup_codes=self.backup_codes if kept else (),
            used_codes=self.used_codes if kept else (),
            trust_epoch=self.trust_epoch + 1,
        )

    def _others(self, factor: FactorKind, target: str) -> tuple[Enrolment, ...]:
        return tuple(e for e in self.enrolments if e.factor is not factor or (target and e.id != target))


def _folded(same: tuple[Enrolment, ...]) -> Enrolment:
    return replace(same[0], secret=" ".join(e.secret for e in same)) if len(same) > 1 else same[0]
