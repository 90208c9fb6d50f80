"""Is this browser trusted, and until when?

A trusted browser skips the factor after a *right password* of the same user: never a login by itself. The record is
bound to tenant, user, the date of his password and the epoch of his registrations, so a new password, a changed factor
and "sign out everywhere" end it; its age is judged by today's policy. The secret in the cookie is used once and
replaced; an old one that comes back means that a copy of the cookie exists: the record goes, and the audit hears of it.
Only the one before skips nothing and ends nothing for half a minute: a double click, or a second tab, sent it before it
was replaced. One user a browser.
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
"""Seconds for which requests may still come that were sent before the secret was replaced."""


class TrustVerdict(Enum):
    """What a trust cookie is worth; the values are the audit's words."""

    TRUSTED = "trusted"
    NONE = "none"
    OTHER_USER = "other-user"
    TOO_OLD = "too-old"
    CHANGED = "changed"
    JUST_USED = "just-used"
    STOLEN = "stolen"


@dataclass(frozen=True, slots=True)
class TrustCookie:
    """What a browser holds: `tag` says where its record stands, `secret` (used once) opens it."""

    tag: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose trust it is, and by what it ends: a new password, a changed factor or "sign out everywhere"."""

    user_id: str
    credential_date: int | None
    trust_epoch: int


@dataclass(frozen=True, slots=True)
class TrustedBrowser:
    """What is kept of one browser: the secret's digest; `since` is when a factor was really judged.

    `before` is the digest of the secret before, replaced at `turned_at`.
    """

    holder: Holder
    since: float
    digest: str
    before: str = ""
    turned_at: float = 0.0


@dataclass(frozen=True, slots=True)
class TrustedBrowsers:
    """Gives, judges, renews and takes trust."""

    records: Records[TrustedBrowser]
    clock: Clock

    async def judge(self, tenant: str, cookie: TrustCookie, holder: Holder, policy: Policy) -> TrustVerdict:
        """What the cookie is worth for this user, today."""
        if not policy.trust_browser_days:  # it ends, and does not come back when the policy does
            await self.records.remove(tenant, cookie.tag)
            return TrustVerdict.NONE
        kept = await self.records.read(tenant, cookie.tag)
        if kept is None:
            return TrustVerdict.NONE
        given, now = _digest(cookie.secret), self.clock.now()
        if given == kept.before and now < kept.turned_at + UNDER_WAY:
            return TrustVerdict.JUST_USED
        if given != kept.digest:  # nobody guesses a tag of 128 bits: this is a copy, older or newer
            await self.records.remove(tenant, cookie.tag)
            return TrustVerdict.STOLEN
        if kept.holder.user_id != holder.user_id:
            return TrustVerdict.OTHER_USER
        if now >= kept.since + policy.trust_browser_days * DAY:
            return TrustVerdict.TOO_OLD
        return TrustVerdict.TRUSTED if kept.holder == holder else TrustVerdict.CHANGED

    async def give(self, tenant: str, cookie: TrustCookie, holder: Holder) -> None:
        """Trust the browser with this cookie from now on; whoever it trusted before goes."""
        now = self.clock.now()
        await self.records.write(tenant, cookie.tag, TrustedBrowser(holder, now, _digest(cookie.secret)), now + LONGEST)

    async def rotate(self, tenant: str, old: TrustCookie, new: str) -> bool:
        """Replace the secret after it was used; False when another login used it first. Twice the same is once."""

        def turn(kept: TrustedBrowser) -> TrustedBrowser | None:
            if kept.digest == _digest(new):
                return kept
            if kept.digest != _digest(old.secret):
                return None
            return replace(kept, digest=_digest(new), before=kept.digest, turned_at=self.clock.now())

        return await self.records.change(tenant, old.tag, turn) is not None

    async def take(self, tenant: str, tag: str) -> None:
        """Trust this browser no more."""
        await self.records.remove(tenant, tag)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
