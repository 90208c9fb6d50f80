"""Keeps the trust of browsers that skip the factor.

A trusted browser skips the factor after a *right password* of the same user: it is never a login by itself. The record
is bound to tenant, user, the date of the user's password and the epoch of their enrolments. So a new password, a
changed factor and "sign out everywhere" end it. Without a date of the password there is no trust. Today's policy limits
its age.

The secret in the cookie is single use and replaced. An old secret means that a copy of the cookie exists: the record is
removed, and the audit records it. For half a minute the secret before the present one skips nothing and ends nothing: a
double click, or a second tab, sent it before it was replaced. A browser is trusted for one user. A secret that the
gateway never gave to this browser changes nothing: knowing its tag is not enough to end its trust.
"""

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.domain.policy import Policy
from gateway.domain.ports import Clock
from gateway.store.records import Records

DAY = 86400.0
LONGEST = 90 * DAY
UNDER_WAY = 30.0
"""Seconds for which requests may still arrive that the browser sent before the secret was replaced."""
REMEMBERED = 100
"""Replaced secrets of one browser by which a copy of its cookie is recognised."""


class TrustVerdict(Enum):
    """The verdicts on a trust cookie; the values are the audit's words."""

    TRUSTED = "trusted"
    NONE = "none"
    OTHER_USER = "other-user"
    TOO_OLD = "too-old"
    CHANGED = "changed"
    UNDATED = "undated"
    JUST_USED = "just-used"
    STOLEN = "stolen"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class TrustCookie:
    """The content of the cookie: `tag` is the key of its record, `secret` (single use) opens it."""

    tag: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """The user of the trust, and what ends it: a new password, a changed factor or "sign out everywhere"."""

    user_id: str
    credential_date: int | None
    trust_epoch: int


@dataclass(frozen=True, slots=True)
class TrustedBrowser:
    """The record of one browser, with the digest of its secret; `since` is the time of the last factor proof.

    `before` is the digest of the secret before, replaced at `turned_at`; `earlier` are digests of those before that,
    the newest last.
    """

    holder: Holder
    since: float
    digest: str
    before: str = ""
    turned_at: float = 0.0
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustedBrowsers:
    """Gives, checks, renews and ends trust."""

    records: Records[TrustedBrowser]
    clock: Clock

    async def judge(self, tenant: str, cookie: TrustCookie, holder: Holder, policy: Policy) -> TrustVerdict:
        """Whether the cookie skips the factor for this user today."""
        kept = await self.records.read(tenant, cookie.tag)
        if kept is None:
            return TrustVerdict.NONE
        given, now = _digest(cookie.secret), self.clock.now()
        if given not in (kept.digest, kept.before, *kept.earlier):
            return TrustVerdict.FORGED
        if not policy.trust_browser_days:  # trust ends for good, also when the policy allows it again
            await self.records.remove(tenant, cookie.tag)
            return TrustVerdict.NONE
        if given == kept.before and now < kept.turned_at + UNDER_WAY:
            return TrustVerdict.JUST_USED
        if given != kept.digest:  # a copy of the cookie was used since
            await self.records.remove(tenant, cookie.tag)
            return TrustVerdict.STOLEN
        if kept.holder.user_id != holder.user_id:
            return TrustVerdict.OTHER_USER
        if now >= kept.since + policy.trust_browser_days * DAY:
            return TrustVerdict.TOO_OLD
        if kept.holder != holder:
            return TrustVerdict.CHANGED
        return TrustVerdict.UNDATED if holder.credential_date is None else TrustVerdict.TRUSTED

    async def give(self, tenant: str, cookie: TrustCookie, holder: Holder, replaces: TrustCookie | None = None) -> None:
        """Trusts the browser with this cookie from now on, for this user only; its older trust `replaces` ends."""
        now = self.clock.now()
        if replaces and replaces.tag != cookie.tag:
            kept = await self.records.read(tenant, replaces.tag)
            if kept and kept.digest == _digest(replaces.secret):
                await self.records.remove(tenant, replaces.tag)
        await self.records.write(tenant, cookie.tag, TrustedBrowser(holder, now, _digest(cookie.secret)), now + LONGEST)

    async def rotate(self, tenant: str, old: TrustCookie, new: str) -> bool:
        """Replaces the used secret; False when another login used it first. Repeating it has no further effect."""

        def turn(kept: TrustedBrowser) -> TrustedBrowser | None:
            if kept.digest == _digest(new):
                return kept
            if kept.digest != _digest(old.secret):
                return None
            earlier = (*kept.earlier, kept.before)[-REMEMBERED:] if kept.before else ()
            return replace(kept, digest=_digest(new), before=kept.digest, turned_at=self.clock.now(), earlier=earlier)

        return await self.records.change(tenant, old.tag, turn) is not None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
