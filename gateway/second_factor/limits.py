"""Names the limits of a password, a code and a send.

Pure: each limit has a rule (key, steps, window) and a problem. The store enforces the rules atomically, and
`rate_limiter` runs them in the order user, login, address, client. Every attempt is counted before anything is verified
(reserve → verify → keep, or give back when nothing was verified). Sources: NIST SP 800-63B throttling, OWASP ASVS
6.6.3. An entered code is counted in the other order (`challenges.answer`).

Keys have a tag in braces, so that all rules of one group are one script. A key names a user by id, an address or a user
name by a digest from the caller.
"""

from dataclasses import dataclass

from gateway.domain.configuration import OperatorLimits
from gateway.domain.policy import AttemptsScope, FactorKind, LockScope, Policy
from gateway.domain.problem import Problem
from gateway.second_factor.factors import table
from gateway.store.counters import Rule

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule, and the problem that a user sees when it holds them."""

    name: str
    rule: Rule
    problem: Problem


Group = tuple[Limit, ...]
"""Limits of one tag: counted in one script."""


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """The names in the keys of an attempt. `login` and `challenge` are ids, `address` is a digest."""

    tenant: str
    user: str
    login: str
    challenge: str = ""
    address: str = ""
    client: str = ""
    app: str = ""


def _limit(
    name: str,
    tag: str,
    problem: Problem,
    *,
    steps: tuple[tuple[int, float], ...],
    window: float = DAY,
    lock: str = "",
    beyond: bool = True,
    sliding: bool = True,
    restart: bool = False,
) -> Limit:
    rule = Rule(
        count=f"count:{{{tag}}}:{name}",
        lock=f"lock:{{{tag}}}:{lock or name}",
        window=window,
        steps=steps,
        beyond=beyond,
        sliding=sliding,
        restart=restart,
    )
    return Limit(name, rule, problem)


def for_answer(
    policy: Policy,
    limits: OperatorLimits,
    whose: LimitSubject,
    factor: FactorKind | None,
    *,
    approving_first: bool = False,
) -> tuple[Group, ...]:
    """The limits of one entered code; `factor` None is the page that takes any code.

    A code that approves an enrolment has counts of its own. The user can prove the enrolment as often as they like, and
    that success must not clear the failures of the approval.
    """
    user_tag = f"{whose.tenant}/user/{whose.user}"
    # Names of counters in the store, so they stay as the first version wrote them.
    named = "voucher" if approving_first else factor.value if factor else "any"
    own_name = "attempts/voucher" if approving_first else "attempts"
    cap = _limit(f"failures/{named}", user_tag, Problem.LOCKED, steps=limits.failure_steps)
    if policy.attempts_scope is AttemptsScope.USER:
        where = whose.app if policy.lock_scope is LockScope.APP else "*"
        own = _limit(
            own_name,
            user_tag,
            Problem.LOCKED,
            steps=((policy.otp_max_attempts, float(policy.locked_for)),),
            lock=f"{own_name}/{where}",
            restart=policy.lock_scope is LockScope.TENANT,
        )
        return ((own, cap),)
    # A factor that sends nothing has no code to replace: its maximum is the login's.
    of = f"code/{whose.challenge}" if table.sends(factor) else "code"
    code = _limit(
        of, f"{whose.tenant}/login/{whose.login}", Problem.LIMIT_EXCEEDED, steps=((policy.otp_max_attempts, DAY),)
    )
    return ((cap,), (code,))


def for_send(policy: Policy, limits: OperatorLimits, whose: LimitSubject) -> tuple[Group, ...]:
    """The limits of one sent code: the user's cooldown and hour, the login's maximum, the address's hour."""
    user_tag = f"{whose.tenant}/user/{whose.user}"
    hour = _limit(
        "sends",
        user_tag,
        Problem.MAX_SENDS,
        steps=((limits.sends_per_user, limits.sends_window),),
        window=limits.sends_window,
        sliding=False,
        restart=True,
    )
    login = _limit("sends", f"{whose.tenant}/login/{whose.login}", Problem.MAX_SENDS, steps=((policy.max_sends, DAY),))
    address = _limit(
        "sends",
        f"{whose.tenant}/address/{whose.address}",
        Problem.MAX_SENDS,
        steps=((limits.sends_per_address, limits.sends_window),),
        window=limits.sends_window,
        sliding=False,
        restart=True,
    )
    user = (*(limit for group in cooldown(policy, whose) for limit in group), hour)
    return (user, (login,), (address,))


def is_of_user(group: Group) -> bool:
    """Whether this group holds a user over all their logins."""
    return "/user/" in group[0].rule.lock


def is_of_login(limit: Limit) -> bool:
    """Whether this limit ends with its login."""
    return "/login/" in limit.rule.lock


def cooldown(policy: Policy, whose: LimitSubject) -> tuple[Group, ...]:
    """The user's cooldown alone: an accepted code clears it."""
    if not policy.resend_cooldown:
        return ()
    tag = f"{whose.tenant}/user/{whose.user}"
    wait = float(policy.resend_cooldown)
    return ((_limit("sent", tag, Problem.WAIT, steps=((1, wait),), window=wait),),)


def for_password(limits: OperatorLimits, tenant: str, name: str, client: str, *, known: bool) -> tuple[Group, ...]:
    """The limits of one entered password until Keycloak accepts it.

    `name` is a digest of the normalised user name. A browser in which the user finished a login before has a count of
    its own (`known`), so that an attacker cannot lock a user out by entering their name. The maximum is below
    Keycloak's own failure limit, so that Keycloak locks no user because of the gateway.
    """
    window = limits.password_failures_window
    lane = "known" if known else "anybody"
    of_name = _limit(
        f"password/{lane}",
        f"{tenant}/name/{name}",
        Problem.TOO_MANY_LOGINS,
        steps=((limits.password_failures_per_user, window),),
        window=window,
        restart=True,
    )
    of_client = _limit(
        "password",
        f"{tenant}/client/{client}",
        Problem.TOO_MANY_LOGINS,
        steps=((limits.password_failures_per_client, window),),
        window=window,
        restart=True,
    )
    return ((of_name,), (of_client,))
