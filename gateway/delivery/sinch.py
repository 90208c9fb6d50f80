"""Talks to the Sinch Verification API: starts a verification by text message, reports an entry, asks for the status.

Written from the vendor's public documents (developers.sinch.com/docs/verification) and checked against its public SDKs.
The API makes and checks the code, so only its explicit word counts: an answer for another verification, number, method
or reference, an unknown word and a call without an answer are `Undecided`.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

import structlog

from gateway.delivery.http_calls import Answer, HttpCall, HttpCalls, NoAnswer
from gateway.domain.channel import SinchAuthentication, SinchService, TlsSettings
from gateway.domain.ports import Clock

PATH = "/verification/v1/verifications"
CONTENT_TYPE = "application/json; charset=utf-8"
MOST_SKEW = 30.0
"""Seconds that the clocks may differ before a rejected request is signed again with the service's time."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EXPIRY = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)")
_LONG_NUMBER = re.compile(r"\d{6,}")


class Verdict(Enum):
    """The explicit word of the service about an entry."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    REPLACED = "replaced"


MEANING: Mapping[tuple[str, str], Verdict] = MappingProxyType(
    {
        ("SUCCESSFUL", ""): Verdict.RIGHT,
        ("FAIL", "Invalid code"): Verdict.WRONG,
        ("PENDING", "Invalid code"): Verdict.WRONG,
        ("FAIL", ""): Verdict.WRONG,
        ("FAIL", "Expired"): Verdict.EXPIRED,
        ("ABORTED", ""): Verdict.REPLACED,
    }
)
"""What a status with its reason ("" for none) says about an entry, after developers.sinch.com/docs/verification
("Verification status": `VerificationStatus`, `VerificationStatusReason`). Every other pair says nothing: the service
was denied (as `DENIED` with `Not enough credit`), failed (`ERROR`), or is not finished (`PENDING`)."""


@dataclass(frozen=True, slots=True)
class Started:
    """The service sends a code. `expiry`: seconds of its life, None where the answer does not tell it."""

    id: str
    expiry: float | None


@dataclass(frozen=True, slots=True)
class Undecided:
    """The service said nothing that counts; `why` is for the operator."""

    why: str


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification: the channel that has it, the number it is for, and the gateway's own name for it."""

    service: SinchService
    channel: str
    number: str
    reference: str


class SinchApi:
    """The calls. The difference to the service's clock is kept for each endpoint once a signed request was rejected."""

    def __init__(self, calls: HttpCalls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._skew: dict[str, float] = {}
        self._log = structlog.get_logger("delivery.sinch")

    async def start(self, one: Verification, *, expiry: int, language: str) -> Started | Undecided:
        """Has the service make a code of digits and send it. The code works for `expiry` seconds at most."""
        hours, seconds = divmod(expiry, 3600)
        body = {
            "identity": {"type": "number", "endpoint": one.number},
            "method": "sms",
            "reference": one.reference,
            "smsOptions": {"codeType": "Numeric", "expiry": f"{hours:02}:{seconds // 60:02}:{seconds % 60:02}"},
        }
        found = _object(one, await self._call(one.service, _Request("POST", PATH, _json(body), language)))
        started = found if isinstance(found, Undecided) else _started(found)
        self._note(one, "start", started)
        return started

    async def report(self, one: Verification, id: str, code: str) -> Verdict | Undecided:
        """The service's word about `code`. When its answer is lost or odd, the status tells what became of it."""
        path = f"{PATH}/id/{id}"
        body = _json({"method": "sms", "sms": {"code": code}})
        answer = await self._call(one.service, _Request("PUT", path, body))
        said = _verdict(one, id, answer)
        self._note(one, "report", said)
        if isinstance(said, Verdict) or not _may_be_handled(answer):
            return said
        said = _verdict(one, id, await self._call(one.service, _Request("GET", path)))
        self._note(one, "status", said)
        return said

    def _note(self, one: Verification, call: str, said: Started | Verdict | Undecided) -> None:
        if isinstance(said, Undecided):
            self._log.warning("sinch_undecided", channel=one.channel, call=call, why=said.why[:200])

    async def _call(self, service: SinchService, request: "_Request") -> Answer | NoAnswer:
        """Makes a call; once more with the service's time if it rejected the signature and its clock is another."""
        used = self._skew.get(service.endpoint, 0.0)
        answer = await self._send(service, request, used)
        if isinstance(answer, NoAnswer) or answer.status != 401:
            return answer
        skew = _skew(answer, self._clock.now())
        if service.authentication is not SinchAuthentication.SIGNED or skew is None or abs(skew - used) <= MOST_SKEW:
            return answer
        self._skew[service.endpoint] = skew
        self._log.warning("sinch_clock_differs", server=service.endpoint, seconds=round(skew))
        return await self._send(service, request, skew)

    async def _send(self, service: SinchService, request: "_Request", skew: float) -> Answer | NoAnswer:
        at = datetime.fromtimestamp(self._clock.now() + skew, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        proof = authorization(service, request.method, request.path, request.body, at)
        headers = [("Content-Type", CONTENT_TYPE), ("x-timestamp", at), ("Authorization", proof)]
        if request.language:
            headers.append(("Accept-Language", request.language))
        return await self._calls.send(
            HttpCall(
                request.method,
                service.endpoint + request.path,
                service.timeout,
                headers,
                request.body,
                service.tls or TlsSettings(),
                "channels: sinch.tls",
            )
        )


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes = b""
    language: str = ""


def authorization(service: SinchService, method: str, path: str, body: bytes, at: str) -> str:
    """The Authorization header of a request, with a Content-Type of `CONTENT_TYPE` and `at` as its x-timestamp.

    The vendor's signature covers the MD5 of the body; HMAC-SHA256 protects it.
    """
    secret = service.secret.value
    if service.authentication is SinchAuthentication.BASIC:
        return f"Basic {_base64(f'{service.key}:{secret}'.encode())}"
    digest = _base64(hashlib.md5(body, usedforsecurity=False).digest()) if body else ""
    text = "\n".join((method, digest, CONTENT_TYPE, f"x-timestamp:{at}", path))
    key = base64.b64decode(secret, validate=True)
    return f"Application {service.key}:{_base64(hmac.digest(key, text.encode(), 'sha256'))}"


def _object(one: Verification, answer: Answer | NoAnswer) -> Mapping[str, Any] | Undecided:
    """The object in an answer, unless something in it contradicts what was asked."""
    if isinstance(answer, NoAnswer):
        return Undecided(answer.reason)
    found = answer.json_object()
    if answer.status != 200:
        return Undecided(f"HTTP {answer.status}{_error(found)}")
    if found is None:
        return Undecided("the answer is no JSON object")
    identity = {"type": "number", "endpoint": one.number}
    for key, wanted in {"method": "sms", "reference": one.reference, "identity": identity}.items():
        if found.get(key) not in (None, wanted):
            return Undecided(f"the answer has another {key}")
    return found


def _started(found: Mapping[str, Any]) -> Started | Undecided:
    id, status, sms = found.get("id"), found.get("status"), found.get("sms")
    if status not in (None, "PENDING"):
        return Undecided(f"{status}: {found.get('reason')}")
    if not isinstance(id, str) or not _ID.fullmatch(id):
        return Undecided("the answer has no id")
    expiry = sms.get("expiry") if isinstance(sms, Mapping) else None
    if expiry is None:
        return Started(id, None)
    parts = _EXPIRY.fullmatch(expiry) if isinstance(expiry, str) else None
    if parts is None:
        return Undecided("the answer has an odd expiry")
    hours, minutes, seconds = map(int, parts.groups())
    return Started(id, hours * 3600.0 + minutes * 60 + seconds)


def _verdict(one: Verification, id: str, answer: Answer | NoAnswer) -> Verdict | Undecided:
    found = _object(one, answer)
    if isinstance(found, Undecided):
        return found
    if found.get("id") != id:
        return Undecided("the answer is about another verification")
    status, reason = found.get("status"), found.get("reason")
    if not isinstance(status, str) or not (reason is None or isinstance(reason, str)):
        return Undecided("the answer has no status")
    return MEANING.get((status, reason or "")) or Undecided(f"{status}{f': {reason}' if reason else ''}")


def _may_be_handled(answer: Answer | NoAnswer) -> bool:
    """Whether the service may have judged the entry of this call."""
    return answer.unknown if isinstance(answer, NoAnswer) else answer.status not in (401, 403)


def _skew(answer: Answer, now: float) -> float | None:
    """The seconds by which the service's clock is ahead; None where it does not tell the time."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - now
    except (KeyError, ValueError, OverflowError):
        return None


def _error(found: Mapping[str, Any] | None) -> str:
    """The code and the message of an error, without numbers that may be a user's."""
    words = [found[key] for key in ("errorCode", "message") if found.get(key)] if found else []
    return "".join(f", {_LONG_NUMBER.sub('•••', str(word))}" for word in words)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
