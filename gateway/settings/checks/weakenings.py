"""Compares two configurations: what is weaker than before, and what needs a restart.

Pure. The words go into the audit, so they name tenant and setting and never a secret.
"""

from gateway.domain.configuration import Configuration, GatewaySettings
from gateway.domain.policy import AttemptsScope, EnrolmentRule, Policy, Registration, RegistrationContact
from gateway.domain.tenant import Route, RouteFactor, Tenant

_REGISTRATION = (Registration.OPEN, Registration.GUARDED, Registration.ADMIN_CODE)
_RESTART = ("listen", "operations", "store", "keys_file", "prefix", "languages", "audit_file")
_LIMITS_AT_START = ("grants_per_user_waiting", "grants_per_user_and_client", "grants_at_once", "grant_wait")


def weakenings(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """Every setting that asks less of a user than before, as `tenant: setting old → new`; tenant `*` is all of them.

    Other steps of locks are always told: which of two lists is the stricter one depends on who counts.
    """
    found: list[str] = []
    if new.gateway.insecure_http and not old.gateway.insecure_http:
        found.append("*: insecure_http false → true")
    if new.gateway.limits.failure_steps != old.gateway.limits.failure_steps:
        found.append("*: limits.failure_steps changed")
    for tenant in new.tenants:
        before = old.tenant(tenant.id)
        if before is not None:
            found.extend(f"{tenant.id}: {what}" for what in _weaker(before, tenant))
    return tuple(found)


def needs_restart(old: GatewaySettings, new: GatewaySettings) -> tuple[str, ...]:
    """Settings that changed and that only a new process takes over."""
    own = [name for name in _RESTART if getattr(old, name) != getattr(new, name)]
    limits = [name for name in _LIMITS_AT_START if getattr(old.limits, name) != getattr(new.limits, name)]
    return (*own, *(f"limits.{name}" for name in limits))


def _weaker(old: Tenant, new: Tenant) -> list[str]:
    found = _weaker_policy(old.policy, new.policy)
    for path in sorted({route.path for route in (*old.routes, *new.routes)}):
        was, now = old.route_of(path), new.route_of(path)
        if _is_open(now) and not _is_open(was):
            before = "required" if was and was.path == path else "no route of its own"
            found.append(f"second_factor of {path or '/'} {before} → off")
    if opened := sorted(set(new.public_paths) - set(old.public_paths)):
        found.append(f"public_paths with {', '.join(opened)}")
    for route in sorted(new.routes, key=lambda route: route.path):
        covering = old.route_of(route.path)
        if route.service_worker and not (covering and covering.service_worker):
            found.append(f"service_worker of {route.path or '/'} false → true")
    lost = [n for n in old.never_trust_from if not any(n[0] in wide and n[-1] in wide for wide in new.never_trust_from)]
    if lost:
        found.append(f"never_trust_from without {', '.join(sorted(map(str, lost)))}")
    for name in ("idle", "absolute"):
        now = getattr(new.session, name)
        if now > getattr(old.session, name):
            found.append(f"session.{name} {getattr(old.session, name)} → {now}")
    if old.token_cookie.http_only and not new.token_cookie.http_only:
        found.append("token_cookie.http_only true → false")
    if old.clear_storage_at_sign_out and not new.clear_storage_at_sign_out:
        found.append("clear_storage_at_sign_out true → false")
    return found


def _is_open(route: Route | None) -> bool:
    return route is not None and route.second_factor is RouteFactor.OFF


def _weaker_policy(old: Policy, new: Policy) -> list[str]:
    if old.enabled and not new.enabled:
        return ["is2FAEnabled true → false"]
    found: list[str] = []
    ways = sorted({m.factor.value for m in new.methods} - {m.factor.value for m in old.methods})
    if old.enabled and ways:
        found.append(f"another way to sign in: {', '.join(ways)}")
    if old.enrolment is EnrolmentRule.REQUIRED and new.enrolment is EnrolmentRule.OPTIONAL:
        found.append("enrolment required → optional")
    if _REGISTRATION.index(new.registration) < _REGISTRATION.index(old.registration):
        found.append(f"registration {old.registration.value} → {new.registration.value}")
    if old.registration_contact is not new.registration_contact is RegistrationContact.ANY:
        found.append(f"registrationContact {old.registration_contact.value} → any")
    for name, key in (
        ("otp_expiry", "otpExpiry"),
        ("otp_max_attempts", "otpMaxAttempts"),
        ("max_sends", "maxSends"),
        ("trust_browser_days", "trustBrowserDays"),
    ):
        before, after = getattr(old, name), getattr(new, name)
        if after > before:
            found.append(f"{key} {before} → {after}")
    for name, key in (("otp_length", "otpLength"), ("locked_for", "lockedFor"), ("resend_cooldown", "resendCooldown")):
        before, after = getattr(old, name), getattr(new, name)
        if after < before:
            found.append(f"{key} {before} → {after}")
    if old.attempts_scope is AttemptsScope.USER and new.attempts_scope is AttemptsScope.CODE:
        found.append("attemptsScope user → code")
    if old.enabled and not old.admin_codes and new.admin_codes:
        found.append("adminCodes false → true")
    if not old.skip_when_verified and new.skip_when_verified:
        found.append("skipWhenVerified false → true")
    return found
