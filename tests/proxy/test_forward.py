"""How requests travel to apps and answers back."""

from tests.neighbours.upstream import RawUpstream
from tests.proxy.stage import gateway, status_of, tenant


async def test_a_request_with_a_session_reaches_the_app_once_with_our_framing(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        answer = await stage.send(stage.request("/unified-admin/a?b=c"))
    print(answer, raw_upstream.received)
    assert status_of(answer) == 200
    assert raw_upstream.requests == 1
    assert raw_upstream.received.startswith(b"GET /a?b=c HTTP/1.1\r\n")
