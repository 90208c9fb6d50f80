"""Limits passwords, codes and sends; rejects attempts over a limit and locks users.

The functions name the limits of an attempt, in the order user, login, address, client. Each limit has a rule (keys,
steps, window) and a problem. `RateLimiter` counts them in the store. Every attempt is counted before anything is
verified (reserve → verify → keep, or give back when nothing was verified). So limits hold for any number of tabs,
logins and replicas. An entered code is counted in the other order (`challenges.answer`). Sources: NIST SP 800-63B
throttling, OWASP ASVS 6.6.3.

Keys have a tag in braces, so that all rules of one group are one script. A key names a user by id, an address or a user
name by a digest from the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.domain.configuration import OperatorLimits
from gateway.domain.policy import AttemptsScope, FactorKind, LockScope, Policy
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.second_factor.factors import table
from gateway.store.counters import Held, Rule
from gateway.store.protocol import Store

DAY = 86400.0
MOST_UNJUDGED = 100


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule, the problem that a user sees when it locks them, and the setting with its maximum."""

    name: str
    rule: Rule
    problem: Problem
    setting: str = ""


Group = tuple[Limit, ...]
"""Limits of one tag: counted in one script."""


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """The names in the keys of an attempt: `login` and `challenge` are ids.

    `factor` is the factor whose failures are counted, None on the page that takes any code. A code that is `approving`
    an enrolment has counts of its own: the user can prove the enrolment as often as they like, and that success must
    not clear the failures of the approval.
    """

    tenant: str
    user: str
    login: str
    factor: FactorKind | None
    challenge: str = ""
    app: str = ""
    approving: bool = False


@dataclass(frozen=True, slots=True)
class Limited:
    """Not counted: `limit` locks until then (seconds since the epoch)."""

    limit: Limit
    until: float

    @property
    def problem(self) -> Problem:
        """The problem that a user sees."""
        return self.limit.problem

    @property
    def detail(self) -> ProblemDetail:
        """The problem with the end of its wait and the limit."""
        return ProblemDetail(self.problem, self.until, limit=self.limit.setting)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Counted at `now`: each limit with its new count."""

    counts: tuple[tuple[Limit, int], ...]
    now: float

    @property
    def failures(self) -> int:
        """The count under the limit of the code or login, or under the user's where the policy counts by user."""
        return next((n for limit, n in self.counts if limit.name.startswith(("code", "attempts"))), 0)

    @property
    def locked(self) -> list[Limited]:
        """The limits that lock because of this very attempt."""
        reached = [(limit, limit.rule.locked_for(count)) for limit, count in self.counts]
        return [Limited(limit, self.now + seconds) for limit, seconds in reached if seconds]


class RateLimiter:
    """Reserve, look, give back and clear, over groups of limits."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def reserve(self, groups: Sequence[Group]) -> Allowed | Limited:
        """Counts one attempt under every limit of every group, or under none."""
        now = self._clock.now()
        counts: list[tuple[Limit, int]] = []
        for index, group in enumerate(groups):
            found = await self._store.reserve([limit.rule for limit in group], now)
            if isinstance(found, Held):
                await self.give_back(groups[:index])
                return Limited(group[found.index], found.until)
            counts += zip(group, found.counts, strict=True)
        return Allowed(tuple(counts), now)

    async def look(self, groups: Sequence[Group]) -> Allowed | Limited:
        """What `reserve` would meet, without counting."""
        now = self._clock.now()
        counts: list[tuple[Limit, int]] = []
        for group in groups:
            found = await self._store.look([limit.rule for limit in group], now)
            if isinstance(found, Held):
                return Limited(group[found.index], found.until)
            counts += zip(group, found.counts, strict=True)
        return Allowed(tuple(counts), now)

    async def give_back(self, groups: Sequence[Group]) -> None:
        """Undoes one `reserve`: nothing was verified, or the entry was right where only failures count."""
        now = self._clock.now()
        for group in groups:
            await self._store.give_back([limit.rule for limit in group], now)

    async def clear(self, groups: Sequence[Group]) -> None:
        """Clears counts and locks after a success."""
        for group in groups:
            await self._store.clear([limit.rule for limit in group])


def for_user(policy: Policy, limits: OperatorLimits, subject: LimitSubject) -> Group:
    """The limits of entered codes that lock a user over all their logins."""
    tag = f"{subject.tenant}/user/{subject.user}"
    # Names of counters in the store, so they stay as the first version wrote them.
    counted = "voucher" if subject.approving else subject.factor.value if subject.factor else "any"
    every_login = _limit(f"failures/{counted}", tag, Problem.LOCKED, "limits.failure_steps", steps=limits.failure_steps)
    if policy.attempts_scope is not AttemptsScope.USER:
        return (every_login,)
    return (_of_policy(policy, subject), every_login)


def _of_policy(policy: Policy, subject: LimitSubject) -> Limit:
    """The policy's own maximum. The count is the user's; the lock is the tenant's, or that of the app of the failure.

    With a lock of one app the count goes on, so that another app gives one guess. It ends with the last lock.
    """
    name = "attempts/voucher" if subject.approving else "attempts"
    by_app = policy.lock_scope is LockScope.APP
    return _limit(
        name,
        f"{subject.tenant}/user/{subject.user}",
        Problem.LOCKED,
        "otpMaxAttempts",
        steps=((policy.otp_max_attempts, float(policy.locked_for)),),
        lock=f"{name}/{subject.app if by_app else '*'}",
        restart=not by_app,
        ends_with_lock=by_app,
    )


async def locked_apps(limiter: RateLimiter, tenant: Tenant, user: str) -> Mapping[str, Limited]:
    """The apps of `tenant` that are locked for `user` while others are not, by the path of their route."""
    policy = tenant.policy
    if not policy.enabled or (policy.attempts_scope, policy.lock_scope) != (AttemptsScope.USER, LockScope.APP):
        return {}
    asking = (route.path for route in tenant.routes if route.second_factor is RouteFactor.REQUIRED)
    limits = {app: _of_policy(policy, LimitSubject(tenant.id, user, "", None, app=app)) for app in asking}
    found = {app: await limiter.look(((limit,),)) for app, limit in limits.items()}
    return {app: held for app, held in found.items() if isinstance(held, Limited)}


def for_answer(policy: Policy, limits: OperatorLimits, subject: LimitSubject) -> tuple[Group, ...]:
    """The limits of one entered code: the user's, and the maximum of the code or login."""
    user = for_user(policy, limits, subject)
    if policy.attempts_scope is AttemptsScope.USER:
        return (user,)
    # A factor that sends nothing has no code to replace: its maximum is the login's.
    of = f"code/{subject.challenge}" if subject.factor in table.SENT else "code"
    tag = f"{subject.tenant}/login/{subject.login}"
    return (user, (_limit(of, tag, Problem.LIMIT_EXCEEDED, "otpMaxAttempts", steps=((policy.otp_max_attempts, DAY),)),))


def unjudged(subject: LimitSubject) -> Group:
    """The entries for one challenge that were free because no service judged them.

    A service may have judged an entry although its answer was lost. So beyond this maximum each one costs an attempt.
    """
    tag = f"{subject.tenant}/login/{subject.login}"
    return (_limit(f"unjudged/{subject.challenge}", tag, Problem.CHECK_FAILED, "", steps=((MOST_UNJUDGED, DAY),)),)


def for_send(
    policy: Policy, limits: OperatorLimits, subject: LimitSubject, to: FactorKind, address: str
) -> tuple[Group, ...]:
    """The limits of one code sent for the factor `to`: the user's cooldown and hour, the login's maximum, the
    address's hour, and for texts the tenant's.

    `address` is a digest.
    """
    by_text = to is FactorKind.SMS
    hours = _sends_of_user(limits, subject.tenant, subject.user)
    login = _limit(
        "sends",
        f"{subject.tenant}/login/{subject.login}",
        Problem.MAX_SENDS,
        "maxSends",
        steps=((policy.max_sends, DAY),),
    )
    setting, most = (
        ("limits.texts_per_number", limits.texts_per_number)
        if by_text
        else ("limits.sends_per_address", limits.sends_per_address)
    )
    window = limits.sends_window
    of_address = _hour_of_sends(f"{subject.tenant}/address/{address}", setting, most, window)
    groups: tuple[Group, ...] = ((*cooldown(policy, subject), *hours[: 1 + by_text]), (login,), (of_address,))
    if not by_text:
        return groups
    of_tenant = _hour_of_sends(f"{subject.tenant}/texts", "limits.texts_per_tenant", limits.texts_per_tenant, window)
    return (*groups, (of_tenant,))


def all_of_user(policy: Policy, limits: OperatorLimits, tenant: str, user: str, apps: Sequence[str]) -> Group:
    """All limits of codes that one user has, also by another policy: to clear them."""
    found: dict[Rule, Limit] = {}
    for scope in LockScope:
        wide = replace(policy, attempts_scope=AttemptsScope.USER, lock_scope=scope, resend_cooldown=1)
        for factor in (*FactorKind, None):
            for app in apps:
                for approving in (False, True):
                    subject = LimitSubject(tenant, user, "", factor, app=app, approving=approving)
                    found |= {one.rule: one for one in (*for_user(wide, limits, subject), *cooldown(wide, subject))}
    return (*found.values(), *_sends_of_user(limits, tenant, user))


def is_of_login(limit: Limit) -> bool:
    """Whether this limit ends with its login."""
    return "/login/" in limit.rule.lock


def cooldown(policy: Policy, subject: LimitSubject) -> Group:
    """The user's cooldown alone: an accepted code clears it."""
    if not policy.resend_cooldown:
        return ()
    tag, wait = f"{subject.tenant}/user/{subject.user}", float(policy.resend_cooldown)
    return (_limit("sent", tag, Problem.WAIT, "resendCooldown", steps=((1, wait),), window=wait),)


def for_password(
    limits: OperatorLimits, tenant: str, name: str, client: str, *, browser: str = ""
) -> tuple[Group, ...]:
    """The limits of one entered password until Keycloak accepts it.

    `name` is a digest of the normalised user name, `client` the network of the client. `browser` is a digest of a
    browser in which the user finished a login before, "" for any other. Such a browser has a count of its own and no
    count of its network. So neither an attacker who enters the user's name nor one behind the same address locks the
    user out there, and a copied browser cookie locks that one browser only.
    """
    window = limits.password_failures_window
    of_name = _passwords(
        f"password/known/{browser}" if browser else "password/anybody",
        f"{tenant}/name/{name}",
        "limits.password_failures_per_user",
        limits.password_failures_per_user,
        window,
    )
    if browser:
        return ((of_name,),)
    of_client = _passwords(
        "password",
        f"{tenant}/client/{client}",
        "limits.password_failures_per_client",
        limits.password_failures_per_client,
        window,
    )
    return ((of_name, unknown_browsers(limits, tenant, name)), (of_client,))


def unknown_browsers(limits: OperatorLimits, tenant: str, name: str) -> Limit:
    """The wrong passwords of a user name from all browsers in which that user finished no login.

    Keycloak counts failures until one is right, or for 12 hours after the last one, and then locks the user in every
    browser. This maximum lies below its own, so that no stranger reaches that by the gateway. The user's success in any
    browser clears both counts.
    """
    return _passwords(
        "password/unknown",
        f"{tenant}/name/{name}",
        "limits.password_failures_unknown",
        limits.password_failures_unknown,
        limits.password_failures_unknown_window,
    )


def _passwords(name: str, tag: str, setting: str, most: int, window: float) -> Limit:
    """At most `most` wrong passwords in `window` seconds, and then a pause of that length."""
    return _limit(name, tag, Problem.TOO_MANY_PASSWORDS, setting, steps=((most, window),), window=window, restart=True)


def logins_in_a_row(tenant: str, user: str) -> Limit:
    """The logins of a user with a right password and a wrong code, since the last right code. Locks nothing."""
    return _limit("wrong-logins", f"{tenant}/user/{user}", Problem.WARNING, "", steps=())


def _sends_of_user(limits: OperatorLimits, tenant: str, user: str) -> Group:
    """The hour of all codes, then that of texts."""
    tag, window = f"{tenant}/user/{user}", limits.sends_window
    return (
        _hour_of_sends(tag, "limits.sends_per_user", limits.sends_per_user, window),
        _hour_of_sends(tag, "limits.texts_per_user", limits.texts_per_user, window, name="texts"),
    )


def _hour_of_sends(tag: str, setting: str, most: int, window: float, name: str = "sends") -> Limit:
    """At most `most` codes sent in `window` seconds, an hour by default."""
    return _limit(
        name,
        tag,
        Problem.MAX_SENDS,
        setting,
        steps=((most, window),),
        window=window,
        sliding=False,
        restart=True,
    )


def _limit(
    name: str,
    tag: str,
    problem: Problem,
    setting: str,
    *,
    steps: tuple[tuple[int, float], ...],
    window: float = DAY,
    lock: str = "",
    sliding: bool = True,
    restart: bool = False,
    ends_with_lock: bool = False,
) -> Limit:
    rule = Rule(
        count=f"count:{{{tag}}}:{name}",
        lock=f"lock:{{{tag}}}:{lock or name}",
        window=window,
        steps=steps,
        sliding=sliding,
        restart=restart,
        ends_with_lock=ends_with_lock,
    )
    return Limit(name, rule, problem, setting)
