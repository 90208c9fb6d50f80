"""The Sinch Verification API: proofs of requests, and answers of which only an explicit one counts."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.sinch import PATH, SinchApi, Started, Undecided, Verdict, Verification, authorization
from gateway.domain.channel import SinchAuthentication, SinchService
from gateway.domain.secret import Secret
from tests.fixtures.clock import FakeClock
from tests.fixtures.http_service import ODD_BODIES, Received, Reply, never, says
from tests.fixtures.sinch_api import KEY, NUMBER, SECRET, FakeSinch, error, fake_sinch, odd_verdicts

BASIC, SIGNED = SinchAuthentication.BASIC, SinchAuthentication.SIGNED
OTHER_REASONS = (
    "Fraud",
    "Not enough credit",
    "Blocked",
    "Denied by callback",
    "Invalid callback",
    "Internal error",
    "Destination denied",
    "Network error or number unreachable",
    "Failed pending",
    "SMS delivery failure",
    "Invalid CLI",
    "Hung up without entering valid code",
)
"""The vendor's reasons that say nothing about an entry."""


@pytest.fixture
async def service(clock: FakeClock) -> AsyncIterator[FakeSinch]:
    """Yields the service."""
    async with fake_sinch(clock) as made:
        yield made


@pytest.fixture
async def api(clock: FakeClock) -> AsyncIterator[SinchApi]:
    """Yields the gateway's side."""
    calls = HttpCalls()
    yield SinchApi(calls, clock)
    await calls.close()


def one(service: FakeSinch, authentication: SinchAuthentication = SIGNED, **changes: Any) -> Verification:
    """Returns a verification of the number."""
    return Verification(service.service(authentication, **changes), "sinch", NUMBER, "reference1")


async def started(api: SinchApi, of: Verification) -> str:
    """Starts it; returns its id."""
    found = await api.start(of, expiry=300, language="ar")
    assert isinstance(found, Started), found
    return found.id


def vector(authentication: SinchAuthentication, method: str, path: str, body: bytes) -> str:
    """Returns the proof of a request at a fixed time."""
    service = SinchService(
        endpoint="https://verification.example", authentication=authentication, key=KEY, secret=Secret(SECRET)
    )
    return authorization(service, method, path, body, "2027-01-15T08:00:00Z")


# The signatures were made by the program openssl (dgst -sha256 -mac HMAC) over the vendor's five lines.
@pytest.mark.row("SI-13")
def test_a_signed_request_has_the_signature_that_the_vendor_documents() -> None:
    body = b'{"identity":{"type":"number","endpoint":"+46700000000"},"method":"sms"}'
    made = vector(SIGNED, "POST", "/verification/v1/verifications", body)
    assert made == f"Application {KEY}:0dT/lq0Rq6ejzX1RwbSb/WeZ+dzVBNZRUxU7L0PyCAU="


@pytest.mark.row("SI-13")
def test_a_signed_request_without_a_body_signs_an_empty_digest() -> None:
    made = vector(SIGNED, "GET", "/verification/v1/verifications/id/1234", b"")
    assert made == f"Application {KEY}:WGSB7rhsLYplrARgmJgU9cm4jtPCd6RBMmqgxSZ2LLQ="


@pytest.mark.row("SI-13")
def test_a_basic_request_has_key_and_secret() -> None:
    word = (
        "MTExMTExMTEtMjIyMi0zMzMzLTQ0NDQtNTU1NTU1NTU1NTU1OkFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDg9"
    )
    assert vector(BASIC, "GET", "/", b"") == f"Basic {word}"


@pytest.mark.row("SI-12", "SI-13")
@pytest.mark.parametrize("authentication", SinchAuthentication, ids=lambda way: way.value)
async def test_a_code_is_sent_and_its_entry_is_right(
    api: SinchApi, service: FakeSinch, authentication: SinchAuthentication
) -> None:
    of = one(service, authentication)
    id = await started(api, of)
    [sent] = service.sent
    assert (sent.number, sent.reference, sent.language) == (NUMBER, "reference1", "ar")
    assert sent.expires_at == service.clock.now() + 300
    assert await api.report(of, id, service.wrong()) is Verdict.WRONG
    assert await api.report(of, id, service.code()) is Verdict.RIGHT


@pytest.mark.row("SI-13")
async def test_a_service_that_demands_signatures_rejects_basic(api: SinchApi, service: FakeSinch) -> None:
    service.least = SIGNED
    found = await api.start(one(service, BASIC), expiry=300, language="en")
    assert found == Undecided("HTTP 401, 40100, Invalid authorization")


@pytest.mark.parametrize("authentication", SinchAuthentication, ids=lambda way: way.value)
async def test_another_secret_is_rejected(
    api: SinchApi, service: FakeSinch, authentication: SinchAuthentication
) -> None:
    found = await api.start(one(service, authentication, secret=Secret("AAAA")), expiry=300, language="en")
    assert isinstance(found, Undecided)
    assert not service.sent


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_a_clock_that_differs_costs_one_rejected_request(api: SinchApi, service: FakeSinch, ahead: float) -> None:
    service.ahead = ahead
    of = one(service)
    with capture_logs() as lines:
        id = await started(api, of)
        assert await api.report(of, id, service.code()) is Verdict.RIGHT
    assert [(line["event"], line["seconds"]) for line in lines] == [("sinch_clock_differs", ahead)]
    assert service.server
    assert len(service.server.requests) == 3


async def test_a_rejected_request_is_not_repeated_while_the_clocks_agree(api: SinchApi, service: FakeSinch) -> None:
    service.ahead = 20.0
    await api.start(one(service, secret=Secret("AAAA")), expiry=300, language="en")
    assert service.server
    assert len(service.server.requests) == 1


@pytest.mark.row("SI-05")
@pytest.mark.parametrize(
    ("told", "seconds"), [("00:02:00", 120.0), ("0:00:30", 30.0), ("01:00:00", 3600.0), (None, None)]
)
async def test_the_answer_may_tell_the_life_of_a_code(
    api: SinchApi, service: FakeSinch, told: str | None, seconds: float | None
) -> None:
    service.expiry = told
    found = await api.start(one(service), expiry=300, language="en")
    assert found == Started("id000001", seconds)


async def test_an_expired_code_is_called_so(api: SinchApi, service: FakeSinch, clock: FakeClock) -> None:
    of = one(service)
    id = await started(api, of)
    clock.advance(300)
    assert await api.report(of, id, service.code()) is Verdict.EXPIRED


async def test_a_newer_verification_ends_the_older_one(api: SinchApi, service: FakeSinch) -> None:
    of = one(service)
    older = await started(api, of)
    code = service.code()
    await started(api, of)
    assert await api.report(of, older, code) is Verdict.REPLACED


@pytest.mark.attack("F8")
async def test_a_reason_that_is_not_about_the_entry_decides_nothing(api: SinchApi, service: FakeSinch) -> None:
    for status in ("PENDING", "FAIL", "DENIED", "ABORTED", "ERROR", "SUCCESSFUL"):
        for reason in OTHER_REASONS:
            answer = says({"id": "1", "status": status, "reason": reason})
            service.instead = lambda request, _, answer=answer: answer if request.method == "PUT" else error(404, 1, "")
            with capture_logs() as lines:
                assert isinstance(await api.report(one(service), "1", "1234"), Undecided)
            assert lines[0]["why"] == f"{status}: {reason}"


@pytest.mark.attack("F8")
@pytest.mark.parametrize("lost", ["late", "cut", "odd", "gone"])
@pytest.mark.parametrize("right", [True, False])
async def test_a_lost_answer_to_a_report_is_found_by_the_status(
    api: SinchApi, service: FakeSinch, lost: str, right: bool
) -> None:
    instead: dict[str, Callable[[], Reply]] = {
        "late": never,
        "cut": lambda: says(b'{"id"'),
        "odd": lambda: says(b"ok"),
        "gone": lambda: error(404, 40400, ""),
    }
    service.instead = lambda request, usual: instead[lost]() if request.method == "PUT" else usual
    of = one(service, timeout=0.3)
    id = await started(api, of)
    found = await api.report(of, id, service.code() if right else service.wrong())
    assert found == (Verdict.RIGHT if right else Undecided("PENDING"))


@pytest.mark.attack("F8")
async def test_a_report_without_any_answer_decides_nothing(api: SinchApi, service: FakeSinch) -> None:
    of = one(service, timeout=0.3)
    id = await started(api, of)
    service.instead = lambda request, _: never()
    assert await api.report(of, id, service.code()) == Undecided("no response within 0.3 s")


async def test_a_report_that_cannot_have_been_judged_asks_for_no_status(api: SinchApi, service: FakeSinch) -> None:
    await api.report(one(service, secret=Secret("AAAA")), "1", "1234")
    assert service.server
    assert [request.method for request in service.server.requests] == ["PUT"]


@pytest.mark.attack("F8")
async def test_an_odd_200_answer_is_neither_a_start_nor_a_yes(api: SinchApi, service: FakeSinch) -> None:
    for number in range(len((*ODD_BODIES, *odd_verdicts(Received("PUT", "/1", {}, b""))))):
        service.instead = lambda request, _, number=number: says((*ODD_BODIES, *odd_verdicts(request))[number])
        assert isinstance(await api.report(one(service), "id000001", "1234"), Undecided), number
    for body in ODD_BODIES:
        service.instead = lambda request, _, body=body: says(body)
        assert isinstance(await api.start(one(service), expiry=300, language="en"), Undecided), body


@pytest.mark.attack("F8")
@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": ""},
        {"id": 7},
        {"id": "a/../b"},
        {"id": "1", "status": "DENIED", "reason": "Fraud"},
        {"id": "1", "status": "SUCCESSFUL"},
        {"id": "1", "method": "callout"},
        {"id": "1", "reference": "another"},
        {"id": "1", "sms": {"expiry": "soon"}},
        {"id": "1", "sms": {"expiry": 120}},
        {"id": "1", "identity": {"type": "number", "endpoint": "+46700000002"}},
    ],
    ids=range(11),
)
async def test_an_odd_object_starts_nothing(api: SinchApi, service: FakeSinch, odd: Mapping[str, Any]) -> None:
    service.instead = lambda request, _: says(odd)
    assert isinstance(await api.start(one(service), expiry=300, language="en"), Undecided)


@pytest.mark.parametrize("status", [201, 204, 301, 400, 402, 403, 404, 429, 500, 503])
async def test_only_200_is_an_answer(api: SinchApi, service: FakeSinch, status: int) -> None:
    def instead(request: Received, usual: web.Response) -> web.Response:
        usual.set_status(status)
        return usual

    service.instead = instead
    assert isinstance(await api.start(one(service), expiry=300, language="en"), Undecided)


async def test_the_log_has_the_reason_and_neither_number_nor_entry(api: SinchApi, service: FakeSinch) -> None:
    service.instead = lambda request, _: error(400, 40001, f"{NUMBER} is no number, {NUMBER[1:]} neither")
    with capture_logs() as lines:
        await api.start(one(service), expiry=300, language="en")
        await api.report(one(service), "1", "1234567")
    assert [(line["event"], line["call"]) for line in lines] == [
        ("sinch_undecided", call) for call in ("start", "report", "status")
    ]
    assert "40001, +••• is no number, ••• neither" in lines[0]["why"]
    assert NUMBER[1:] not in str(lines)
    assert "1234567" not in str(lines)


async def test_the_path_of_a_report_has_the_id(api: SinchApi, service: FakeSinch) -> None:
    of = one(service)
    id = await started(api, of)
    await api.report(of, id, service.code())
    assert [(request.method, request.target) for request in service.requests] == [
        ("POST", PATH),
        ("PUT", f"{PATH}/id/{id}"),
    ]
