"""The factor `rsa`: the passcode of an RSA SecurID token, which an RSA Authentication Manager verifies.

The user enters the PIN and the code of their token in one field. RSA knows its users, so they do not enrol. The gateway
calls RSA's Authentication API (`mfa/v1_1/authn/initialize` and `verify`). It accepts only a 200 OK that answers this
very message, with `attemptResponseCode` SUCCESS and SUCCESS for the credential that was sent. `attemptReasonCode`
alone, a challenge, and an access policy that asks for no credential are no proof.

After several failures RSA asks for the next code of the token: then the challenge keeps RSA's attempt, and the user
enters that code alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from gateway.crypto.key_ring import Signer
from gateway.delivery.http_calls import Answer, HttpCall, HttpCalls
from gateway.domain.challenge import Accepted, Judgement, More, Rejected, Unavailable
from gateway.domain.channel import ChannelKind, RsaServer, RsaService, TlsSettings
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tasks import SingleFlight
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from gateway.second_factor.used_codes import Redemption, UsedCodes

PURPOSE = "rsa"
"""The purpose for which the `Signer` is made."""
PASSCODE, NEXT_CODE = "SECURID", "SECURID_NEXT_TOKENCODE"
"""RSA's names of the methods."""
_SHORTEST_CODE = 4
ASK_NEXT = _("Wait until the code on your token changes. Then enter the new code alone, without your PIN.")
ASK_AGAIN = _("That code didn't work. Enter your PIN and the code that your token shows now.")
log = structlog.get_logger(__name__)


class RsaFactor(Factor):
    """See `protocol.Factor`."""

    kind = FactorKind.RSA
    label = _("RSA SecurID")
    icon = "key"
    channel = ChannelKind.RSA
    enrolled_elsewhere = True
    hidden = True

    def __init__(self, http_calls: HttpCalls, signer: Signer) -> None:
        self._http_calls = http_calls
        self._signer = signer
        self._under_way: SingleFlight[Judgement] = SingleFlight()

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Asks RSA. An entry that is sent twice at once, as by a double click, is asked once: RSA takes it once."""
        service = delivery.channel.service if delivery.channel else None
        server = delivery.tenant.rsa or (service.server if isinstance(service, RsaService) else None)
        if not isinstance(service, RsaService) or server is None:
            return Unavailable("no RSA server is configured")
        asked = _asked(state)
        if not (_SHORTEST_CODE if asked else service.shortest) <= len(entry) <= service.longest:
            return Unavailable("the entry has no length of a passcode", Problem.BAD_INPUT)
        message = _Message(delivery.random.token_bytes(16).hex(), NEXT_CODE if asked else PASSCODE, user.username)
        body = message.body(asked, entry) if asked else message.body(asked, entry, server, service.assurance_policy)
        call = HttpCall(
            "POST",
            f"{server.url}mfa/v1_1/authn/{'verify' if asked else 'initialize'}",
            service.timeout,
            headers=(("Content-Type", "application/json"), ("client-key", server.client_key.value)),
            body=json.dumps(body).encode(),
            tls=service.tls or TlsSettings(),
        )
        mark = self._signer.sign(entry, delivery.tenant.id, user.id)
        name = (delivery.tenant.id, user.id, delivery.challenge, state, entry)
        return await self._under_way.join(name, partial(self._ask, call, message, mark))

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Uses up the passcode, by one owner, whatever RSA says of it a second time."""
        return None if await used.mark("rsa", value, by) else ProblemDetail(Problem.WRONG_CODE)

    async def _ask(self, call: HttpCall, message: "_Message", mark: str) -> Judgement:
        answer = await self._http_calls.send(call)
        if not isinstance(answer, Answer):
            return Unavailable(answer.reason)
        judgement = message.judged(answer, mark)
        if isinstance(judgement, Unavailable):
            log.warning("rsa_gave_no_verdict", status=answer.status, why=judgement.reason)
        return judgement


@dataclass(frozen=True, slots=True)
class _Message:
    """One message to RSA about a user: its random id, and the method of its credential."""

    id: str
    method: str
    username: str

    def body(
        self, asked: Mapping[str, str], entry: str, server: RsaServer | None = None, policy: str = ""
    ) -> dict[str, Any]:
        """The body: with `server` the beginning of an attempt, else what RSA `asked` for in an earlier answer."""
        credential = {"methodId": self.method, "collectedInputs": [{"name": self.method, "value": entry}]}
        context = {"authnAttemptId": asked.get("attempt", ""), "inResponseTo": asked.get("message", "")}
        body: dict[str, Any] = {"subjectCredentials": [credential], "context": {"messageId": self.id, **context}}
        if server:
            body |= {"clientId": server.client_id, "subjectName": self.username}
        return {**body, "assurancePolicyId": policy} if policy else body

    def judged(self, answer: Answer, mark: str) -> Judgement:
        """The meaning of the answer to this message; `mark` is what an accepted passcode uses up."""
        found = answer.json_object() if answer.status == 200 else None
        context = found.get("context") if found else None
        if found is None or not isinstance(context, dict) or context.get("inResponseTo") != self.id:
            return Unavailable("the response is none of RSA's to this message")
        subject = found.get("subjectName", self.username)
        if not isinstance(subject, str) or subject.casefold() != self.username.casefold():
            return Unavailable("the response is about another user")
        verdicts = _verdicts(found, self.method)
        match found.get("attemptResponseCode"):
            case "SUCCESS" if verdicts == ["SUCCESS"]:
                return Accepted(mark)
            case "FAIL":
                return More("", ASK_AGAIN) if self.method == NEXT_CODE else Rejected()
            case "CHALLENGE":
                return _challenged(found, context, verdicts)
        return Unavailable("RSA neither accepted nor rejected the passcode")


def _challenged(found: Mapping[str, Any], context: Mapping[str, Any], verdicts: list[Any]) -> Judgement:
    """RSA wants more than it got: the next code, a new PIN, or the right passcode."""
    wanted = _wanted(found)
    attempt, message = context.get("authnAttemptId"), context.get("messageId")
    if NEXT_CODE in wanted and isinstance(attempt, str) and isinstance(message, str) and attempt and message:
        return More(json.dumps({"attempt": attempt, "message": message}), ASK_NEXT)
    if any(method.startswith("SECURID") and "PIN" in method for method in wanted):
        return Unavailable("RSA wants a new PIN", Problem.NEW_PIN)
    if PASSCODE in wanted and verdicts == ["FAIL"]:
        return Rejected()
    return Unavailable("RSA asks for a method that the gateway does not have")


def _verdicts(found: Mapping[str, Any], method: str) -> list[Any]:
    """RSA's verdicts on the credential of `method`."""
    results = found.get("credentialValidationResults")
    of_method = (r for r in results if isinstance(r, dict)) if isinstance(results, list) else ()
    return [result.get("methodResponseCode") for result in of_method if result.get("methodId") == method]


def _wanted(found: Mapping[str, Any]) -> frozenset[str]:
    """The methods with which RSA would go on."""
    methods = found.get("challengeMethods")
    challenges = methods.get("challenges") if isinstance(methods, dict) else None
    wanted: set[str] = set()
    for challenge in challenges if isinstance(challenges, list) else ():
        required = challenge.get("requiredMethods") if isinstance(challenge, dict) else None
        for one in required if isinstance(required, list) else ():
            name = one.get("methodId") if isinstance(one, dict) else None
            wanted |= {name} if isinstance(name, str) else set()
    return frozenset(wanted)


def _asked(state: str) -> Mapping[str, str]:
    """RSA's attempt that waits for a further code; empty where none does. `state` may be another factor's."""
    found = json.loads(state) if state else {}
    return found if isinstance(found, dict) and found.keys() == {"attempt", "message"} else {}
