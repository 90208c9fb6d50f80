"""The three XML web services: requests as the vendor describes them, and answers that mean only what they say."""

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from gateway.delivery import xml_answers
from gateway.delivery.http_calls import HttpCalls, NoAnswer
from gateway.delivery.web_services import WebServiceCalls
from gateway.delivery.xml_answers import NotAnAnswer, XmlAnswer
from gateway.domain.user import User
from gateway.domain.web_services import WebServices
from tests.fixtures.genesys_services import (
    CHECK,
    CODE,
    ODD_ANSWERS,
    SEND,
    GenesysServices,
    document,
    genesys_services,
    odd_answers,
)
from tests.fixtures.http_service import ODD_BODIES, http_server, says
from tests.fixtures.ports import free_port

USER = User("u1", "amira+1 & co=%é", attributes=(("accountNumber", "0815 / 7"),))
SETTINGS = TypeAdapter(WebServices)


@pytest.fixture
async def calls() -> AsyncIterator[WebServiceCalls]:
    """Yields the client."""
    http = HttpCalls()
    yield WebServiceCalls(http)
    await http.close()


@pytest.fixture
async def services() -> AsyncIterator[GenesysServices]:
    """Yields the running services."""
    async with genesys_services() as running:
        yield running


def configured(services: GenesysServices, **more: Any) -> WebServices:
    """Returns the settings of a channel."""
    return SETTINGS.validate_json(TypeAdapter(dict).dump_json(services.settings(**more)["web_services"]))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- requests


@pytest.mark.row("GE-31")
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_parameters_arrive_as_they_are(calls: WebServiceCalls, method: str) -> None:
    async with http_server(lambda _: says(document(CODE, "success"))) as server:
        one = {"production": f"{server.url}/x?op=a%2Fb", "method": method, "customer_parameter": "account.no"}
        given = {"live": "production", "check": one, "code": {**one, "customer_attribute": "accountNumber"}}
        services = SETTINGS.validate_json(TypeAdapter(dict).dump_json(given))
        assert await calls.code(services, USER, "12 3&4=+") == XmlAnswer("success")
    [request] = server.requests
    target = urlsplit(request.target)
    in_body = parse_qsl(request.body.decode(), strict_parsing=True) if request.body else []
    assert (request.method, target.path) == (method, "/x")
    given_parameters = [("account.no", "0815 / 7"), ("authCode_nbest1", "12 3&4=+")]
    assert parse_qsl(target.query) + in_body == [("op", "a/b"), *given_parameters]


@pytest.mark.row("GE-14", "GE-31")
async def test_each_service_has_its_own_names_and_its_own_value_of_the_user(
    calls: WebServiceCalls, services: GenesysServices
) -> None:
    own = {"production": services.url(SEND), "customer_parameter": "no", "customer_attribute": "accountNumber"}
    settings = configured(services, send=own, method_parameter="how", code_parameter="pin")
    services.statuses = {CHECK: "error", SEND: "error", CODE: "error"}
    await calls.check(settings, USER)
    await calls.send(settings, USER, "Email")
    await calls.code(settings, USER, "1234")
    assert services.asked == [
        (CHECK, {"customer": USER.username}),
        (SEND, {"no": "0815 / 7", "how": "Email"}),
        (CODE, {"customer": USER.username, "pin": "1234"}),
    ]


async def test_a_user_without_the_attribute_is_not_asked_for(calls: WebServiceCalls, services: GenesysServices) -> None:
    own = {"production": services.url(CHECK), "customer_parameter": "no", "customer_attribute": "missing"}
    found = await calls.check(configured(services, check=own), USER)
    assert found == NoAnswer("the user has no attribute missing")
    assert services.asked == []


@pytest.mark.row("GE-24")
@pytest.mark.parametrize("live", ["production", "test"])
async def test_one_setting_says_which_services_are_asked(
    calls: WebServiceCalls, services: GenesysServices, live: str
) -> None:
    addresses = {name: f"http://127.0.0.1:{free_port()}/" for name in ("production", "test")}
    one = {**addresses, live: services.url(SEND), "customer_parameter": "customer"}
    found = await calls.send(configured(services, live=live, send=one), USER, "SMS")
    assert found == XmlAnswer("success")


# ---------------------------------------------------------------------- answers


@pytest.mark.row("GE-13")
def test_the_methods_of_an_answer_are_read_with_their_values() -> None:
    raw = document(CHECK, "success", {"email": "a@b.example", "SMS": "", "authenticator": ""})
    found = xml_answers.read(raw, CHECK)
    assert (found.status, found.methods) == ("success", {"email": "a@b.example", "sms": "", "authenticator": ""})


@pytest.mark.parametrize(
    "raw",
    [
        b"<codeAuthentication><status> success\n</status></codeAuthentication>",
        b"<?xml version='1.0' encoding='latin1'?><codeAuthentication a='\xfc'><status>success</status></codeAuthentication>",  # noqa: E501
        b"\xef\xbb\xbf<codeAuthentication><!-- --><more/><status>success</status></codeAuthentication>",
        document(CODE, "success").decode().replace("utf-8", "utf-16").encode("utf-16"),
    ],
    ids=["spaces", "latin-1", "byte order mark", "utf-16"],
)
def test_an_answer_may_be_written_in_any_way_of_xml(raw: bytes) -> None:
    assert xml_answers.read(raw, CODE).status == "success"


@pytest.mark.row("GE-30")
@pytest.mark.attack("F8")
@pytest.mark.parametrize("root", [CHECK, SEND, CODE])
def test_no_odd_answer_is_read(root: str) -> None:
    assert len(ODD_ANSWERS) + len(ODD_BODIES) > 60
    for raw in (*odd_answers(root), *ODD_BODIES):
        with pytest.raises(NotAnAnswer):
            xml_answers.read(raw, root)


@pytest.mark.parametrize(
    "methods",
    [
        "<methods/><methods/>",
        "<methods><method/></methods>",
        "<methods><method name=''/></methods>",
        "<methods><method name='email'/><method name='EMAIL' value='b@evil.example'/></methods>",
    ],
)
def test_methods_without_one_meaning_are_not_read(methods: str) -> None:
    with pytest.raises(NotAnAnswer):
        xml_answers.read(f"<{CHECK}><status>success</status>{methods}</{CHECK}>".encode(), CHECK)


@pytest.mark.row("GE-30")
@pytest.mark.attack("F8")
async def test_each_odd_answer_of_the_service_is_no_answer_and_the_log_never_quotes_it(
    calls: WebServiceCalls, services: GenesysServices
) -> None:
    settings = configured(services)
    with capture_logs() as lines:
        for raw in (*odd_answers(CODE), b"<secret>12345</secret>"):
            services.bodies[CODE] = raw
            assert isinstance(await calls.code(settings, USER, "123456"), NoAnswer)
    assert {line["event"] for line in lines} == {"answer_not_understood", "no_http_answer"}
    logged = str(lines)
    assert not any(word in logged for word in ("secret", "12345", "passwd", "<", "amira"))


@pytest.mark.attack("F8")
@pytest.mark.parametrize("status", [201, 204, 302, 401, 404, 500])
async def test_an_answer_of_another_status_than_200_is_no_answer(calls: WebServiceCalls, status: int) -> None:
    async with http_server(lambda _: says(document(CODE, "success"), status, {"Location": "/"})) as server:
        one = {"production": server.url, "customer_parameter": "customer"}
        given = {"live": "production", "check": one, "code": one}
        services = SETTINGS.validate_json(TypeAdapter(dict).dump_json(given))
        assert isinstance(await calls.code(services, USER, "123456"), NoAnswer)


@pytest.mark.row("GE-30")
@pytest.mark.parametrize(
    "raw",
    [
        document(CODE, "success").replace(b"<status>", b"<!--" + b"x" * 1_048_576 + b"--><status>"),
        b"<!DOCTYPE c ["
        + b"".join(b"<!ENTITY e%d '%s'>" % (n, b"&e%d;" % (n - 1) * 50) for n in range(1, 9))
        + b"]><c>&e8;</c>",
        b"<a>" * 20_000,
    ],
    ids=["1 MB", "entities", "depth"],
)
async def test_memory_stays_flat_under_a_hostile_answer(
    calls: WebServiceCalls, services: GenesysServices, raw: bytes
) -> None:
    settings = configured(services)
    await calls.code(settings, USER, "123456")  # what a first call loads
    services.bodies[CODE] = raw
    tracemalloc.start()
    try:
        found = [await calls.code(settings, USER, "123456") for _ in range(5)]
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # the server of this test in the same process included
    finally:
        tracemalloc.stop()
    assert {type(one) for one in found} == {NoAnswer}
