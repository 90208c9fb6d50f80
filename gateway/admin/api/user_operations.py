"""The operations of the API on the users of a tenant: find, show, help, and end sessions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval, MaxLen
from pydantic import TypeAdapter

from gateway.admin.api.operations import Authority, Call, Operation, Result
from gateway.admin.denials import Denial, Fault, Reason
from gateway.administration.user_contacts import BAD, NOT_ALLOWED, TAKEN, Contact, UserContacts
from gateway.administration.user_recovery import UserRecovery
from gateway.administration.user_report import UserReport
from gateway.delivery.phone_numbers import e164
from gateway.domain.errors import Misconfigured
from gateway.domain.session import Session
from gateway.domain.setting_types import SECTION
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.observe.audit import utc_time
from gateway.observe.redaction import mask_address
from gateway.services import Services

THROUGH = "API"
ONE = "/tenants/{tenantId}/users/{userId}"


@dataclass(frozen=True, slots=True)
class UserQuery:
    """Which users to list."""

    search: Annotated[str, MaxLen(100)] = ""
    """Part of a name or an address. Default: every user."""

    first: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
    """Number of the first user, from 0."""

    most: Annotated[int, Interval(ge=1, le=100)] = 50
    """Maximum number of users."""

    lacking: Literal["", "email", "phone"] = ""
    """Only users without an e-mail address, or without a number to which the tenant may send a code. The page is read
    first, so it may have fewer users than `most`, or none. Default: every user."""


@dataclass(frozen=True, slots=True)
class ContactChange:
    """The contact of a user. A key that is missing stays as it is; an empty text removes the value."""

    __pydantic_config__ = SECTION

    email: Annotated[str, MaxLen(255)] | None = None
    """E-mail address."""

    phone: Annotated[str, MaxLen(50)] | None = None
    """Mobile number, with the country code or as users of the tenant write it."""

    email_verified: bool | None = None
    """Whether the address belongs to the user. Default: a new address counts as not verified."""


@dataclass(frozen=True, slots=True)
class UserSummary:
    """A user of the realm; `email` and `phone` are those of their profile."""

    id: str
    username: str
    first_name: str
    last_name: str
    enabled: bool
    email: str
    email_verified: bool
    phone: str


@dataclass(frozen=True, slots=True)
class UserList:
    """Users by user name. `more`: there are further ones."""

    users: tuple[UserSummary, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class FactorState:
    """A second factor of a user. `address` is masked, `added_at` is "" if it is unknown."""

    factor: str
    address: str
    added_at: str


@dataclass(frozen=True, slots=True)
class LockState:
    """A lock in force, and the setting that caused it."""

    problem: str
    setting: str
    until: str


@dataclass(frozen=True, slots=True)
class SessionState:
    """An open session. `satisfied` is how the requirement of a second factor was met."""

    id: str
    created_at: str
    used_at: str
    ends_at: str
    satisfied: str


@dataclass(frozen=True, slots=True)
class SessionList:
    """The open sessions of a user, oldest first."""

    sessions: tuple[SessionState, ...]


@dataclass(frozen=True, slots=True)
class UserState:
    """A user with their second factor.

    `finding` is the reason why the gateway rejects their enrolments, "" for none. `locked_by_keycloak` is the end of
    Keycloak's own lock, "" for none.
    """

    user: UserSummary
    factors: tuple[FactorState, ...]
    backup_codes: int
    finding: str
    locks: tuple[LockState, ...]
    locked_by_keycloak: str
    sessions: tuple[SessionState, ...]


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """An administrator's code, shown once."""

    code: str
    minutes: int


@dataclass(frozen=True, slots=True)
class ResetDone:
    """The number of sessions that ended, and the masked addresses that were mailed."""

    sessions: int
    mailed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionsEnded:
    """The number of sessions that ended."""

    sessions: int


OfUser = Callable[[Call, Tenant, Account], Awaitable[Result | Denial]]


@dataclass(frozen=True, slots=True)
class UserOperations:
    """The operations, on these services."""

    services: Services

    def all(self) -> tuple[Operation, ...]:
        """Each of them."""
        who = Authority.ADMINISTRATOR
        found, one, not_possible = "/tenants/{tenantId}/users", _of_user(self), (Reason.NOT_POSSIBLE,)
        return (
            Operation("GET", found, "listUsers", "Find users", who, self.list, UserList, query=UserQuery),
            Operation("GET", ONE, "readUser", "Show a user: factors, locks, sessions", who, one(self.show), UserState),
            Operation(
                "PATCH",
                f"{ONE}/contact",
                "changeContact",
                "Change the e-mail address and the mobile number of a user",
                who,
                one(self.change_contact),
                UserSummary,
                body=ContactChange,
                reasons=not_possible,
            ),
            Operation(
                "POST",
                f"{ONE}/code",
                "issueCode",
                "Issue a single-use code, which replaces any earlier one",
                who,
                one(self.code),
                IssuedCode,
                reasons=not_possible,
            ),
            Operation("POST", f"{ONE}/unlock", "unlockUser", "End all locks of a user", who, one(self.unlock), None),
            Operation(
                "POST",
                f"{ONE}/reset",
                "resetUser",
                "Remove all factors, trust and locks of a user, and end their sessions",
                who,
                one(self.reset),
                ResetDone,
                reasons=not_possible,
            ),
            Operation(
                "GET", f"{ONE}/sessions", "listSessions", "List the open sessions", who, one(self.sessions), SessionList
            ),
            Operation(
                "DELETE",
                f"{ONE}/sessions",
                "endSessions",
                "End all sessions of a user, also at Keycloak",
                who,
                one(self.end_all),
                SessionsEnded,
            ),
            Operation(
                "DELETE",
                f"{ONE}/sessions/{{sessionId}}",
                "endSession",
                "End one session",
                who,
                one(self.end),
                None,
            ),
        )

    async def list(self, call: Call) -> Result | Denial:
        """Users whose names or address contain a text."""
        query: UserQuery = call.query
        if call.tenant is None:
            return Denial(Reason.NOT_FOUND)
        access = call.tenant.keycloak
        found = await self.services.users.search(access, query.search, query.first, query.most + 1)
        users = [one for one in found[: query.most] if _lacks(query.lacking, one, call.tenant)]
        summaries = tuple(_summary(one, call.tenant) for one in users)
        return _result(UserList(summaries, more=len(found) > query.most))

    async def show(self, call: Call, tenant: Tenant, account: Account) -> Result:
        """One user."""
        services, user = self.services, account.user
        copies = await services.enrolments.copies(tenant, user.id, account)
        kept = copies.keycloak if copies.keycloak and not copies.rejected else None
        locked = await services.users.locked_until(tenant.keycloak, user.username)
        state = UserState(
            user=_summary(account, tenant),
            factors=tuple(
                FactorState(
                    one.factor.value,
                    mask_address(one.address) if one.address else "",
                    utc_time(one.added_at) if one.added_at else "",
                )
                for one in (kept.enrolments if kept else ())
            ),
            backup_codes=len(kept.backup_codes) if kept else 0,
            finding=copies.rejected.finding if copies.rejected else "",
            locks=tuple(
                LockState(one.problem.value, one.limit.setting, utc_time(one.until))
                for one in await self._recovery.locks(tenant.id, user)
            ),
            locked_by_keycloak="" if locked is None else utc_time(locked),
            sessions=await self._sessions(tenant, user.id),
        )
        return _result(state)

    async def change_contact(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """Another address or number."""
        user, body = account.user, call.body
        assert isinstance(body, ContactChange)  # noqa: S101 - of the operation's type
        if body.phone is not None and not tenant.keycloak.phone_attribute:
            return Denial(Reason.NOT_POSSIBLE, "The tenant sends no codes to numbers.")
        email = user.email if body.email is None else body.email
        kept = user.email_verified and email == user.email
        verified = kept if body.email_verified is None else body.email_verified
        wanted = Contact(email, user.phone if body.phone is None else body.phone, verified)
        contacts = UserContacts(self.services, self._recovery)
        if wrong := await contacts.save(tenant, user, wanted, call.caller.name):
            return Denial(Reason.INVALID, faults=tuple(Fault(name, _WRONG[why]) for name, why in wrong.items()))
        now = await self.services.users.account(tenant.keycloak, user.id)
        return _result(_summary(now, tenant)) if now else Denial(Reason.NOT_FOUND, "There is no such user.")

    async def code(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """A new code."""
        made = await _possible(self._recovery.code(tenant.id, account.user.username, call.caller.name))
        return made if isinstance(made, Denial) else _result(IssuedCode(made["code"], made["minutes"]))

    async def unlock(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """No lock any more."""
        done = await _possible(self._recovery.unlock(tenant.id, account.user.username, call.caller.name))
        return done if isinstance(done, Denial) else Result(None)

    async def reset(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """No factor any more."""
        done = await _possible(self._recovery.reset(tenant.id, account.user.username, call.caller.name))
        return done if isinstance(done, Denial) else _result(ResetDone(done["sessions"], tuple(done["mailed"])))

    async def sessions(self, _call: Call, tenant: Tenant, account: Account) -> Result:
        """The open sessions."""
        return _result(SessionList(await self._sessions(tenant, account.user.id)))

    async def end_all(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """No session any more."""
        done = await _possible(self._report.sign_out(tenant.id, account.user.username, call.caller.name))
        return done if isinstance(done, Denial) else _result(SessionsEnded(done["sessions"]))

    async def end(self, call: Call, tenant: Tenant, account: Account) -> Result | Denial:
        """One session less."""
        session, by = call.parameters["sessionId"], call.caller.name
        done = await _possible(self._report.sign_out(tenant.id, account.user.username, by, session))
        return Denial(Reason.NOT_FOUND, done.detail) if isinstance(done, Denial) else Result(None)

    @property
    def _recovery(self) -> UserRecovery:
        return UserRecovery(self.services, THROUGH)

    @property
    def _report(self) -> UserReport:
        return UserReport(self.services, THROUGH)

    async def _sessions(self, tenant: Tenant, user_id: str) -> tuple[SessionState, ...]:
        return tuple(_session(one) for one in await self.services.sessions.of_user(tenant, user_id))


def _of_user(operations: UserOperations) -> Callable[[OfUser], Callable[[Call], Awaitable[Result | Denial]]]:
    """Makes an operation of a function that also gets the tenant and the account in the path."""

    def operation(run: OfUser) -> Callable[[Call], Awaitable[Result | Denial]]:
        async def found(call: Call) -> Result | Denial:
            tenant, user_id = call.tenant, call.parameters["userId"]
            if tenant is None:
                return Denial(Reason.NOT_FOUND, "There is no such tenant in force.")
            account = await operations.services.users.account(tenant.keycloak, user_id)
            if account is None:
                return Denial(Reason.NOT_FOUND, "There is no such user.")
            return await run(call, tenant, account)

        return found

    return operation


async def _possible(act: Awaitable[dict[str, Any]]) -> dict[str, Any] | Denial:
    """What the act returns. A sentence for the administrator, why it is not possible, is no failure of a dependency."""
    try:
        return await act
    except Misconfigured as error:
        if error.detail:
            raise
        return Denial(Reason.NOT_POSSIBLE, f"{error.what}.")


def _result(state: Any) -> Result:
    return Result(TypeAdapter(type(state)).dump_python(state, mode="json"))


def _summary(account: Account, tenant: Tenant) -> UserSummary:
    user = account.user
    return UserSummary(
        id=user.id,
        username=user.username,
        first_name=user.first_name,
        last_name=user.last_name,
        enabled=account.enabled,
        email=user.email,
        email_verified=user.email_verified,
        phone=next(iter(account.attributes.get(tenant.phone_numbers.attribute, ())), ""),
    )


_WRONG = {
    BAD: "is no address or number of this kind",
    NOT_ALLOWED: "is in a country to which the tenant sends no codes",
    TAKEN: "is the address of another user",
}


def _lacks(what: str, account: Account, tenant: Tenant) -> bool:
    """Whether the user lacks the address or number; True if nothing is asked."""
    found = _summary(account, tenant)
    if what == "phone":
        return not isinstance(e164(found.phone, tenant.phone_numbers), str)
    return not found.email if what else True


def _session(session: Session) -> SessionState:
    return SessionState(
        id=session.id,
        created_at=utc_time(session.created_at),
        used_at=utc_time(session.used_at),
        ends_at=utc_time(session.ends_at),
        satisfied=session.satisfied.value,
    )
