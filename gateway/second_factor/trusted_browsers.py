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
from gateway.store.records import Changed, Records

DAY = 86400.0
LONGEST = 90 * DAY
UNDER_WAY = 30.0
"""Seconds for which requests may still arrive that the browser sent before the secret was replaced."""
REMEMBERED = 100
"""Replaced secrets of one browser by which a copy of its cookie is recognised."""
MOST = 50
"""Trusted browsers of one user that their page lists; the newest stay."""


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
    the newest last. `browser`, `client` and `used_at` are of the last sign-in with this trust; they are for the user's
    page only, and empty in a record of an older version until its next use.
    """

    holder: Holder
    since: float
    digest: str
    before: str = ""
    turned_at: float = 0.0
    earlier: tuple[str, ...] = ()
    browser: str = ""
    client: str = ""
    used_at: float = 0.0


@dataclass(frozen=True, slots=True)
class BrowserTags:
    """The tags of the browsers that trust one user, oldest first; some may have ended."""

    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownBrowser:
    """A trusted browser as its user sees it. `id` names it in a form, and is of no use as a cookie."""

    id: str
    tag: str
    since: float
    used_at: float
    browser: str
    client: str


@dataclass(frozen=True, slots=True)
class TrustedBrowsers:
    """Gives, checks, renews and ends trust."""

    records: Records[TrustedBrowser]
    by_user: Records[BrowserTags]
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

    async def give(
        self,
        tenant: str,
        cookie: TrustCookie,
        holder: Holder,
        replaces: TrustCookie | None = None,
        *,
        browser: str = "",
        client: str = "",
    ) -> None:
        """Trusts the browser with this cookie from now on, for this user only; its older trust `replaces` ends."""
        now = self.clock.now()
        if replaces and replaces.tag != cookie.tag:
            kept = await self.records.read(tenant, replaces.tag)
            if kept and kept.digest == _digest(replaces.secret):
                await self.records.remove(tenant, replaces.tag)
        await self._note(tenant, holder.user_id, cookie.tag)
        given = TrustedBrowser(holder, now, _digest(cookie.secret), browser=browser, client=client, used_at=now)
        await self.records.write(tenant, cookie.tag, given, now + LONGEST)

    async def rotate(self, tenant: str, old: TrustCookie, new: str, *, browser: str = "", client: str = "") -> bool:
        """Replaces the used secret; False when another login used it first. Repeating it has no further effect."""
        now = self.clock.now()

        def turn(kept: TrustedBrowser) -> TrustedBrowser | None:
            if kept.digest == _digest(new):
                return kept
            if kept.digest != _digest(old.secret):
                return None
            earlier = (*kept.earlier, kept.before)[-REMEMBERED:] if kept.before else ()
            turned = replace(kept, digest=_digest(new), before=kept.digest, turned_at=now, earlier=earlier)
            return replace(turned, browser=browser, client=client, used_at=now)

        turned = await self.records.change(tenant, old.tag, turn)
        if turned:
            await self._note(tenant, turned.holder.user_id, old.tag)
        return turned is not None

    async def of_user(self, tenant: str, holder: Holder, policy: Policy) -> tuple[KnownBrowser, ...]:
        """The browsers that skip the factor of this user today, the last used first."""
        noted = await self.by_user.read(tenant, holder.user_id) or BrowserTags()
        oldest = self.clock.now() - policy.trust_browser_days * DAY
        found = list[KnownBrowser]()
        for tag in noted.tags:
            kept = await self.records.read(tenant, tag)
            if kept and kept.holder == holder and kept.since > oldest and holder.credential_date is not None:
                used_at = kept.used_at or kept.turned_at or kept.since
                found.append(KnownBrowser(_id(tag), tag, kept.since, used_at, kept.browser, kept.client))
        return tuple(sorted(found, key=lambda one: -one.used_at))

    async def end(self, tenant: str, user_id: str, browser_id: str) -> bool:
        """Ends the trust of one browser of this user; whether there was one."""
        noted = await self.by_user.read(tenant, user_id) or BrowserTags()
        tag = next((tag for tag in noted.tags if _id(tag) == browser_id), None)
        kept = await self.records.read(tenant, tag) if tag else None
        if tag is None or kept is None or kept.holder.user_id != user_id:
            return False
        return await self.records.remove(tenant, tag)

    async def _note(self, tenant: str, user_id: str, tag: str) -> None:
        """Adds a browser to the list of its user. It is written before the trust, so no trusted browser is missing."""
        ends_at = self.clock.now() + LONGEST

        def with_it(old: BrowserTags) -> Changed[BrowserTags]:
            others = tuple(one for one in old.tags if one != tag)
            return Changed(BrowserTags((*others, tag)[-MOST:]), ends_at)

        while not await self.by_user.change(tenant, user_id, with_it):
            if await self.by_user.add(tenant, user_id, BrowserTags((tag,)), ends_at):
                return


def _id(tag: str) -> str:
    return _digest(f"trusted browser {tag}")[:16]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
