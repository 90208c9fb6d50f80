"""The page of enrolment progress: how many users have a method, and the users who need help before they can have one.

Keycloak finds no user by what they lack. So a task reads all users, page by page, while the browser asks again. Its
result is kept in the process for ten minutes. A realm with more users than `MOST` is read up to that number.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from aiohttp import web

from gateway.admin.pages.console import AdminRequest, Console
from gateway.delivery.phone_numbers import e164
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.services import Services
from gateway.web.endpoint import Reply

PAGE, MOST, SHOWN = 100, 20_000, 20
KEPT = 600.0
LISTS = ("no-method", "no-email", "shared", "no-number", "unreadable")
ASK_AGAIN = 2


@dataclass(frozen=True, slots=True)
class Listed:
    """A user in a list."""

    id: str
    name: str
    username: str
    email: str


@dataclass(slots=True)
class Reading:
    """What was read of a tenant until now. `addresses` counts users by address for codes, lower case."""

    begun_at: float
    read: int = 0
    enrolled: int = 0
    done: bool = False
    failed: bool = False
    lists: dict[str, list[Listed]] = field(default_factory=lambda: {name: [] for name in LISTS})
    addresses: Counter[str] = field(default_factory=Counter)
    by_address: list[tuple[str, Listed]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """Reads users in the background; `readings` are by tenant."""

    services: Services
    readings: dict[str, Reading] = field(default_factory=dict)

    def routes(self, console: Console) -> list[web.RouteDef]:
        """The routes."""
        return [console.read("/enrolment", self.show)]

    async def show(self, request: AdminRequest) -> Reply:
        """The counts, and one list page by page; while users are read, how many were."""
        tenant, query = request.own.tenant, request.own.http.query
        reading = self._reading(tenant, anew=query.get("again") == "yes")
        chosen = query.get("list", "")
        chosen = chosen if chosen in LISTS else LISTS[0]
        number = int(query["page"]) if query.get("page", "").isdecimal() and len(query["page"]) < 5 else 1
        rows = reading.lists[chosen]
        first = (max(number, 1) - 1) * SHOWN
        reply = request.page(
            "enrolment",
            "enrolment",
            reading=reading,
            counts={name: len(found) for name, found in reading.lists.items()},
            asked=_lists_of(tenant),
            chosen=chosen,
            rows=rows[first : first + SHOWN],
            number=max(number, 1),
            more=len(rows) > first + SHOWN,
            most=MOST,
        )
        if reading.done:
            return reply
        again = urlencode({"list": chosen})
        headers = {"Refresh": f"{ASK_AGAIN}; url={request.url(f'/enrolment?{again}')}"}
        return Reply(reply.body, headers=headers)

    def _reading(self, tenant: Tenant, *, anew: bool) -> Reading:
        now, known = self.services.clock.now(), self.readings.get(tenant.id)
        fresh = known and now < known.begun_at + KEPT and not (known.done and (anew or known.failed))
        if known and (fresh or not known.done):
            return known
        begun = self.readings[tenant.id] = Reading(now)
        self.services.tasks.start(self._read(tenant, begun), "enrolment progress")
        return begun

    async def _read(self, tenant: Tenant, into: Reading) -> None:
        try:
            for first in range(0, MOST, PAGE):
                page = await self.services.users.search(tenant.keycloak, "", first, PAGE)
                for account in page:
                    await self._note(tenant, account, into)
                if len(page) < PAGE:
                    break
            into.lists["shared"] = [one for address, one in into.by_address if into.addresses[address] > 1]
        except GatewayError:
            into.failed = True
        finally:
            into.done = True

    async def _note(self, tenant: Tenant, account: Account, into: Reading) -> None:
        if not account.enabled:
            return
        user = account.user
        copies = await self.services.enrolments.copies(tenant, user.id, account)
        enrolled = copies.keycloak.enrolments if copies.keycloak and not copies.rejected else ()
        listed, lists = Listed(user.id, user.display_name, user.username, user.email), into.lists
        into.read += 1
        into.enrolled += bool(enrolled)
        if copies.rejected:
            lists["unreadable"].append(listed)
        elif not enrolled:
            lists["no-method"].append(listed)
        if not user.email:
            lists["no-email"].append(listed)
        number = next(iter(account.attributes.get(tenant.phone_numbers.attribute, ())), "")
        if not number or not isinstance(e164(number, tenant.phone_numbers), str):
            lists["no-number"].append(listed)
        address = next((one.address for one in enrolled if one.factor is FactorKind.EMAIL), user.email).casefold()
        if address:
            into.addresses[address] += 1
            into.by_address.append((address, listed))


def _lists_of(tenant: Tenant) -> Mapping[str, bool]:
    """Which lists concern the tenant: numbers only where codes are sent to them."""
    return {name: name != "no-number" or FactorKind.SMS in tenant.policy.by_factor for name in LISTS}
