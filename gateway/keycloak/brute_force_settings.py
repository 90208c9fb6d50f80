"""Names the settings of a realm by which anybody can lock a user through Keycloak's brute-force protection.

The administrator reads them only with the role `view-realm` of `realm-management` (measured).
"""

from collections.abc import Mapping
from typing import Any

from gateway.domain.configuration import OperatorLimits
from gateway.keycloak.grant_queue import REST_AFTER_REJECTION

WHERE = "Realm settings, Security defenses, Brute force detection"


def dangers(realm: Mapping[str, Any], limits: OperatorLimits) -> tuple[str, ...]:
    """A sentence with its fix for each such setting of a realm representation; none where it cannot be read."""
    if not realm.get("bruteForceProtected") or "failureFactor" not in realm:
        return ()
    found: list[str] = []
    failures = int(realm["failureFactor"])
    quick, reset = (int(realm.get(name) or 0) for name in ("quickLoginCheckMilliSeconds", "maxDeltaTimeSeconds"))
    most, window = limits.password_failures_unknown, limits.password_failures_unknown_window
    if quick >= REST_AFTER_REJECTION * 1000:
        found.append(
            f"two wrong passwords within {quick} ms lock a user at Keycloak, and the gateway pauses "
            f"{REST_AFTER_REJECTION:g} s after one; lower Quick login check milliseconds"
        )
    if failures <= most:
        found.append(
            f"{failures} wrong passwords lock a user at Keycloak, and the gateway passes on {most} "
            "(limits.password_failures_unknown); raise Max login failures"
        )
    if reset > window:
        found.append(
            f"Keycloak counts wrong passwords for {reset} s, and the gateway for {window:g} s "
            "(limits.password_failures_unknown_window); lower Failure reset time"
        )
    if realm.get("permanentLockout"):
        found.append("wrong passwords lock a user for good; choose temporary lockouts")
    return tuple(f"{one} ({WHERE})" for one in found)
