"""Checks that the keys of a policy fit together.

Each key is valid by itself. Here are the keys that need another one, and values that are allowed but unwise. A key that
would silently demand less than the file says is an error.
"""

from gateway.domain.policy import AttemptsScope, OnMaximum, Policy
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.yaml_source import Path

SHORT_CODE = 6
LONG_TRUST = 30
"""Days beyond which a trusted browser on a shared desk is a risk."""


def check(policy: Policy, at: Path, report: Diagnostics) -> None:
    """Reports keys of an enabled policy that do not fit together."""
    if policy.otp_length < SHORT_CODE:
        report.warning((*at, "otpLength"), f"{policy.otp_length} digits are few; use {SHORT_CODE} or more")
    if policy.trust_browser_days > LONG_TRUST:
        report.warning(
            (*at, "trustBrowserDays"),
            f"{policy.trust_browser_days} days are long where desks are shared; use {LONG_TRUST} or fewer",
        )
    _locks(policy, at, report)


def _locks(policy: Policy, at: Path, report: Diagnostics) -> None:
    """Attempts counted for a user end in a lock, those for a code in a new code; nothing else is built."""
    if policy.on_max_verify is OnMaximum.LOCK and policy.attempts_scope is AttemptsScope.CODE:
        report.error((*at, "onMaxVerify"), "'lock' needs attemptsScope: user, as a lock holds a user and not a code")
    elif policy.on_max_verify is OnMaximum.NEW_CODE and policy.attempts_scope is AttemptsScope.USER:
        report.error((*at, "onMaxVerify"), "'newCode' needs attemptsScope: code; with user it must be lock")
    elif policy.attempts_scope is AttemptsScope.USER and policy.locked_for < 1:
        report.error((*at, "lockedFor"), "must be at least 1: a lock of no time is none")
