"""The acts of an administrator for one user: a code, an unlock, a reset, and the restore of rejected enrolments.

The command line calls them on the shared store. With `memory://` the state is in the serving process, so the command
line sends them to its operations port (`user_requests`). Each act is audited with the name of the administrator.
"""

from dataclasses import dataclass, replace
from typing import Any

import structlog

from gateway.administration.administrator_acts import AdministratorActs
from gateway.delivery.smtp import Sent
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import Registration
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.grant_queue import normalised
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import mask_address
from gateway.second_factor import rate_limits
from gateway.second_factor.enrolments import Copies
from gateway.second_factor.factors import admin_code, table
from gateway.second_factor.factors.email import EmailFactor, addresses_of
from gateway.second_factor.requirement import contacts_of

MAIL = "administrator"
"""The mail about a reset or a restore, `factors/email/administrator`."""
CONTACT_MAIL = "contact-changed"
"""The mail about another address or number in Keycloak."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UserRecovery(AdministratorActs):
    """Each act takes tenant, user name or e-mail address, and the administrator's name; it returns plain data.

    Raises `errors.Misconfigured` if the act cannot be done, with a sentence for the administrator; `Unreachable`,
    `Refused` or `Conflict` if a dependency prevents it.
    """

    async def code(self, tenant_id: str, username: str, by: str) -> dict[str, Any]:
        """Issue a single-use code, which replaces any earlier one."""
        tenant = self._tenant(tenant_id)
        if not tenant.policy.admin_codes and tenant.policy.registration is Registration.OPEN:
            raise Misconfigured(f"{tenant_id} accepts no administrator's codes (twoFAConfigs.adminCodes)")
        user = await self._user(tenant, username)
        made = await self.services.admin_codes.issue(tenant.id, user.id, by)
        self._audit(AuditEvent.ADMIN_CODE_ISSUED, tenant, user, by)
        return {"username": user.username, "code": made, "minutes": int(admin_code.LIFE // 60)}

    async def show(self, tenant_id: str, username: str, by: str) -> dict[str, Any]:
        """Both copies of the user's enrolments, and why the gateway rejects them. Changes nothing."""
        tenant = self._tenant(tenant_id)
        user = await self._user(tenant, username)
        copies = await self.services.enrolments.copies(tenant, user.id)
        return {
            "username": user.username,
            **(copies.rejected.details if copies.rejected else {"finding": ""}),
            "keycloak": without_secrets(copies.keycloak) if copies.keycloak else None,
            "store": without_secrets(copies.store) if copies.store else None,
            "digest": copies.digest,
        }

    async def unlock(self, tenant_id: str, username: str, by: str) -> dict[str, Any]:
        """End all locks, those of single apps too, and set back what they count. Factors and sessions stay."""
        tenant = self._tenant(tenant_id)
        user = await self._user(tenant, username)
        await self.services.rate_limiter.clear(self._limits(tenant, user))
        self._audit(AuditEvent.USER_UNLOCKED, tenant, user, by)
        return {"username": user.username}

    async def locks(self, tenant_id: str, user: User) -> tuple[rate_limits.Limited, ...]:
        """Every lock of the user's codes, and of passwords for their names in browsers that are not known."""
        found: list[rate_limits.Limited] = []
        for group in self._limits(self._tenant(tenant_id), user):
            left = group
            while left and isinstance(held := await self.services.rate_limiter.look((left,)), rate_limits.Limited):
                found.append(held)
                left = tuple(one for one in left if one.rule.lock != held.limit.rule.lock)
        return tuple(found)

    async def contact_changed(self, tenant_id: str, before: User, by: str, changed: list[str]) -> list[str]:
        """Audit that an administrator changed a user's address or number; mail the user at those they had `before`."""
        tenant = self._tenant(tenant_id)
        reference = self._audit(AuditEvent.CONTACT_CHANGED, tenant, before, by, changed=changed)
        copies = await self.services.enrolments.copies(tenant, before.id)
        sets = [one for one in (copies.keycloak, copies.store) if one]
        return await self._mailed(tenant, before, sets, EnrolmentSet(), reference, mail=CONTACT_MAIL)

    async def reset(self, tenant_id: str, username: str, by: str) -> dict[str, Any]:
        """Remove all factors, backup codes, trust, locks and the administrator's code; end all sessions and logins."""
        services, tenant = self.services, self._tenant(tenant_id)
        user = await self._user(tenant, username)
        before: list[EnrolmentSet] = []

        def nothing(copies: Copies) -> EnrolmentSet:
            before.extend(one for one in (copies.keycloak, copies.store) if one)
            return EnrolmentSet()

        await services.enrolments.overwrite(tenant, user.id, nothing)
        reference = self._audit(AuditEvent.ENROLMENTS_RESET, tenant, user, by)
        await services.admin_codes.withdraw(tenant.id, user.id)
        await services.rate_limiter.clear(self._limits(tenant, user))
        ended = await services.sessions.end_all(tenant, user.id, reason="reset")
        await services.users.end_sessions(tenant.keycloak, user.id)
        mailed = await self._mailed(tenant, user, before, EnrolmentSet(), reference)
        return {"username": user.username, "sessions": len(ended), "mailed": mailed}

    async def restore(
        self, tenant_id: str, username: str, by: str, source: str = "", digest: str = ""
    ) -> dict[str, Any]:
        """Accept the rejected enrolments of `source`: `store` (also by default, if it has any) or `keycloak`.

        `digest` is the one of `show`: if a copy changed since, nothing is accepted. Backup codes of an older copy
        count only if the newer one still has them, because others may have been used.
        """
        tenant = self._tenant(tenant_id)
        user = await self._user(tenant, username)
        before: list[EnrolmentSet] = []
        finding = taken = ""

        def accept(copies: Copies) -> EnrolmentSet:
            nonlocal finding, taken
            if copies.rejected is None:
                raise Misconfigured(f"the gateway accepts the enrolments of {username}; there is nothing to restore")
            if digest and digest != copies.digest:
                raise Misconfigured(f"the enrolments of {username} were changed in the meantime; run the command again")
            taken = source or ("store" if copies.store else "keycloak")
            chosen = copies.store if taken == "store" else copies.keycloak
            if chosen is None:
                raise Misconfigured(f"{taken} has no enrolments of {username} that this key ring opens; use user reset")
            finding = copies.rejected.finding
            before.extend(one for one in (copies.keycloak, copies.store) if one)
            unused = copies.store.backup_codes if copies.store else ()
            return replace(chosen, backup_codes=tuple(code for code in chosen.backup_codes if code in unused))

        after = await self.services.enrolments.overwrite(tenant, user.id, accept) or EnrolmentSet()
        factors = [one.factor.value for one in after.enrolments]
        reference = self._audit(
            AuditEvent.ENROLMENTS_RESTORED, tenant, user, by, finding=finding, source=taken, factors=factors
        )
        mailed = await self._mailed(tenant, user, before, after, reference)
        return {"username": user.username, "source": taken, "factors": factors, "mailed": mailed}

    async def _user(self, tenant: Tenant, username: str) -> User:
        return (await self._account(tenant, username)).user

    def _limits(self, tenant: Tenant, user: User) -> tuple[rate_limits.Group, ...]:
        """The limits of the user's codes, and of passwords for their names in browsers that are not known."""
        limits = self.services.configuration().gateway.limits
        apps = ("", *(route.path for route in tenant.routes))
        names = {normalised(name) for name in (user.username, user.email) if name}
        digests = [self.services.user_names.sign(tenant.id, name) for name in names]
        passwords = [rate_limits.for_password(limits, tenant.id, digest, "")[0] for digest in digests]
        return (rate_limits.all_of_user(tenant.policy, limits, tenant.id, user.id, apps), *passwords)

    async def _mailed(
        self,
        tenant: Tenant,
        user: User,
        before: list[EnrolmentSet],
        after: EnrolmentSet,
        reference: str,
        *,
        mail: str = MAIL,
    ) -> list[str]:
        """Mail the user at every verified address that they had `before`; returns the masked addresses."""
        mailed = []
        for address in addresses_of(contacts_of(user, tenant.phone_numbers), *before):
            if await self._mail(tenant, user, address, after, reference, mail=mail):
                mailed.append(mask_address(address))
                self.services.audit.write(
                    AuditEvent.ACCOUNT_CHANGE_MAILED,
                    tenant=tenant.id,
                    user_id=user.id,
                    username=user.username,
                    reference=reference,
                    change=mail,
                    to=mailed[-1],
                )
        return mailed

    async def _mail(
        self, tenant: Tenant, user: User, address: str, after: EnrolmentSet, reference: str, *, mail: str
    ) -> bool:
        """Whether a relay took the mail. Codes have priority: without a spare slot of the channel none is sent."""
        services, configuration = self.services, self.services.configuration()
        method = tenant.policy.by_factor.get(EmailFactor.kind)
        channel = configuration.channels.get(method.channel or "") if method else None
        if channel is None:
            return False
        if await services.send_rate.take_spare(channel) is not None:
            log.warning("account_change_not_mailed", why="no slot", tenant=tenant.id, reference=reference)
            return False
        context = self.services.delivery(tenant, channel, reference)
        spoken = services.pages.languages.get(context.language)
        labels = ", ".join(table.label(one.factor, spoken) for one in after.enrolments)
        sent = await services.email.announce(user, context, to=address, change=mail, factor_label=labels, address="")
        return isinstance(sent, Sent)


def without_secrets(found: EnrolmentSet) -> dict[str, Any]:
    """A set as an administrator sees it: no secret, no code, masked addresses."""
    factors = [
        {"factor": one.factor.value, **({"address": mask_address(one.address)} if one.address else {})}
        for one in found.enrolments
    ]
    return {"version": found.version, "factors": factors, "backup_codes": len(found.backup_codes)}
