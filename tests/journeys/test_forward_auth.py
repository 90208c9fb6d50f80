"""A whole login through a real Caddy that asks the gateway about each request to the app."""

from pathlib import Path

import pytest

from tests.fixtures import asking_proxies
from tests.fixtures.installation import folder
from tests.fixtures.mail import MailServer
from tests.fixtures.person import JSON, PAGE, Person
from tests.fixtures.ports import free_port
from tests.fixtures.site import whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream


@pytest.mark.row("GW-04")
async def test_a_user_signs_in_uses_the_app_and_signs_out_through_a_proxy_that_asks(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> None:
    settings = folder(tmp_path / "config", keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    port = free_port()
    base = f"http://{asking_proxies.HOST}:{port}"
    settings.gateway.update(forward_auth="caddy", trusted_proxies=["127.0.0.1"])
    settings.tenant["gateway"]["public_url"] = base
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        with asking_proxies.caddy(tmp_path, port=port, gateway=settings.port, app=echo_upstream.port):
            user = site.user()
            assert user.email
            async with Person(base) as agent:
                before = await agent.get("/unified-admin/", headers=PAGE)
                done = await agent.first_login(user.username, user.password, user.email, mail_server)
                inside = await agent.get("/unified-admin/x", headers=JSON)
                await agent.logout()
                after = await agent.get("/unified-admin/x", headers=JSON)
            assert (before.status, done.step, inside.status, after.status) == (303, "done", 200, 401)
            fields = dict((await inside.json())["headers"])
            assert fields["Authorization"].startswith("Bearer ")
            assert "gateway-" not in fields["Cookie"]
