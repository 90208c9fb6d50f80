"""Reports settings of which one makes another useless."""

from collections.abc import Sequence

from gateway.domain.configuration import OperatorLimits
from gateway.domain.policy import LockScope, OnMaximum
from gateway.domain.tenant import Tenant, decoded_segments, longest_match
from gateway.settings.checks.tenant_conflicts import TenantEntry
from gateway.settings.source.diagnostics import Diagnostics

_TWO_FACTOR = ("tenantSettings", "twoFAConfigs")


def check(limits: OperatorLimits, entries: Sequence[TenantEntry], report: Diagnostics) -> None:
    """Reports at `gateway.yaml`, and at the file of each tenant."""
    if limits.login_idle > limits.login_absolute:
        report.warning(
            ("limits", "login_idle"),
            f"{limits.login_idle:g} s are more than login_absolute ({limits.login_absolute:g} s), which ends the login "
            "first. Write a smaller number",
        )
    for entry in entries:
        _check_session(entry.tenant, entry.report)
        if entry.tenant.policy.enabled:
            _check_policy(entry.tenant, limits, entry.report)
        _check_routes(entry.tenant, entry.report)


def _check_session(tenant: Tenant, report: Diagnostics) -> None:
    session = tenant.session
    if session.idle > session.absolute:
        report.warning(
            ("gateway", "session", "idle"),
            f"{session.idle} s are more than absolute ({session.absolute} s), which ends the session first. "
            "Write a smaller number",
        )


def _check_policy(tenant: Tenant, limits: OperatorLimits, report: Diagnostics) -> None:
    policy = tenant.policy
    if policy.warn_from_attempt is not None and policy.warn_from_attempt >= policy.otp_max_attempts:
        report.warning(
            (*_TWO_FACTOR, "warnFromAttempt"),
            f"{policy.warn_from_attempt} warns no user: wrong code {policy.otp_max_attempts} is the last one "
            "(otpMaxAttempts). Write a smaller number",
        )
    if policy.locked_for and OnMaximum.LOCK not in (policy.on_max_verify, policy.on_max_sends):
        report.warning(
            (*_TWO_FACTOR, "lockedFor"),
            "locks no user: no rule locks. Write onMaxVerify: lock and attemptsScope: user, or leave lockedFor out",
        )
    if policy.lock_scope is LockScope.APP and policy.on_max_verify is not OnMaximum.LOCK:
        report.warning(
            (*_TWO_FACTOR, "lockScope"),
            "locks no app: no rule locks. Write onMaxVerify: lock and attemptsScope: user, or leave lockScope out",
        )
    if policy.otp_expiry > limits.login_idle:
        report.warning(
            (*_TWO_FACTOR, "otpExpiry"),
            f"{policy.otp_expiry} s are more than limits.login_idle ({limits.login_idle:g} s) of gateway.yaml, after "
            "which the login ends. Write a smaller number",
        )
    if policy.resend_cooldown > policy.otp_expiry:
        report.warning(
            (*_TWO_FACTOR, "resendCooldown"),
            f"{policy.resend_cooldown} s are more than otpExpiry ({policy.otp_expiry} s): a user whose code expired "
            "has to wait. Write a smaller number",
        )


def _check_routes(tenant: Tenant, report: Diagnostics) -> None:
    """Reports what a route has in vain, and what it needs of the realm."""
    public = [longest_match(tenant.routes, decoded_segments(path)) for path in tenant.public_paths]
    for number, route in enumerate(tenant.routes):
        if route.pass_authorization and route not in public:
            report.warning(
                ("gateway", "routes", number, "pass_authorization"),
                "passes nothing: it is for public_paths, and none is on this route",
            )
        if route.allow.groups:
            report.hint(
                ("gateway", "routes", number, "allow", "groups"),
                "admits no user unless access tokens have the claim groups: add a Group Membership mapper with full "
                "paths to the sign-in client; see docs/proxy.md",
            )
