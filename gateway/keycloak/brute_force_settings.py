"""Names the settings of a realm by which anybody can lock a user through Keycloak's brute-force protection.

The administrator reads them only with the role `view-realm` of `realm-management` (measured).
"""

from collections.abc import Mapping
from typing import Any

WHERE = "Realm settings, Security defenses, Brute force detection"


def dangers(realm: Mapping[str, Any], gateway_limit: int) -> tuple[str, ...]:
    """A sentence with its fix for each such setting of a realm representation; none where it cannot be read.

    `gateway_limit`: wrong passwords of a user name that the gateway passes on in one window.
    """
    if not realm.get("bruteForceProtected") or "failureFactor" not in realm:
        return ()
    found: list[str] = []
    failures, quick = int(realm["failureFactor"]), int(realm.get("quickLoginCheckMilliSeconds") or 0)
    if quick > 0:
        found.append(
            f"two wrong passwords within {quick} ms lock a user at Keycloak; set Quick login check milliseconds to 0"
        )
    if failures <= gateway_limit:
        found.append(
            f"{failures} wrong passwords lock a user at Keycloak before the gateway stops at "
            f"{gateway_limit} (limits.password_failures_per_user); raise Max login failures"
        )
    if realm.get("permanentLockout"):
        found.append("wrong passwords lock a user for good; choose temporary lockouts")
    return tuple(f"{one} ({WHERE})" for one in found)
