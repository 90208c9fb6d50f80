"""Tests of the demo's configuration."""

import pytest

from gateway.delivery import sms_http
from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.phone_numbers import e164
from gateway.demo.configuration import Options, configure
from gateway.demo.dependencies import Dependencies
from gateway.demo.loopback import NAMES
from gateway.domain.configuration import Configuration
from gateway.domain.policy import FactorKind
from gateway.domain.sms_gateway import SmsGateway
from gateway.domain.tenant import Tenant


async def test_the_demo_serves_two_apps_by_the_efcx_policy_on_loopback(running_dependencies: Dependencies) -> None:
    configuration = configure(Options(port=8080), running_dependencies)
    tenant = tenant_of(configuration, "expertflow")
    assert configuration.gateway.listen.host == "127.0.0.1"
    assert configuration.gateway.operations.host == "127.0.0.1"
    assert configuration.gateway.store.in_memory
    assert [route.path for route in tenant.routes] == ["/unified-admin", "/agent-manager"]
    assert (tenant.policy.preset, tenant.policy.enabled) == ("efcx", True)


async def test_each_further_tenant_has_a_different_policy(running_dependencies: Dependencies) -> None:
    configuration = configure(Options(port=8080), running_dependencies)
    app, cloud = tenant_of(configuration, "efcx").policy, tenant_of(configuration, "cloudcx").policy
    assert (app.preset, [m.factor for m in app.methods]) == ("efcx", [FactorKind.TOTP])
    assert (cloud.preset, [m.factor for m in cloud.methods]) == ("cloudcx", [FactorKind.EMAIL, FactorKind.TOTP])
    assert (cloud.backup_codes, cloud.admin_codes, cloud.trust_browser_days) == (10, True, 14)


@pytest.mark.attack("F28")
async def test_the_demo_is_reachable_only_by_loopback_names(running_dependencies: Dependencies) -> None:
    tenants = configure(Options(port=8080), running_dependencies).tenants
    hosts = {tenant.id: (set(tenant.all_hosts), tenant.public_url) for tenant in tenants}
    assert hosts == {
        "expertflow": ({"localhost", "127.0.0.1"}, "http://localhost:8080"),
        "efcx": ({"efcx.localhost"}, "http://efcx.localhost:8080"),
        "cloudcx": ({"cloudcx.localhost"}, "http://cloudcx.localhost:8080"),
        "sinch": ({"sinch.localhost"}, "http://sinch.localhost:8080"),
        "genesys": ({"genesys.localhost"}, "http://genesys.localhost:8080"),
    }
    assert set.union(*(hosts for hosts, _ in hosts.values())) <= NAMES


@pytest.mark.attack("F28")
async def test_the_demo_uses_a_given_store_under_a_separate_prefix(running_dependencies: Dependencies) -> None:
    store = configure(Options(store="redis://127.0.0.1:6379"), running_dependencies).gateway.store
    assert store.prefix.startswith("demo:")
    assert not store.in_memory


async def test_an_app_given_by_the_operator_is_at_the_root_of_every_tenant(running_dependencies: Dependencies) -> None:
    for tenant in configure(Options(upstream="http://127.0.0.1:9000/"), running_dependencies).tenants:
        assert [(route.path, route.to) for route in tenant.routes] == [("", "http://127.0.0.1:9000")]
        assert tenant.home == "/"


def tenant_of(configuration: Configuration, tenant_id: str) -> Tenant:
    """Returns the tenant with this id."""
    found = configuration.tenant(tenant_id)
    assert found
    return found


@pytest.mark.row("EF-20")
async def test_a_text_of_the_demo_arrives_in_the_inbox(running_dependencies: Dependencies) -> None:
    configuration = configure(Options(port=8080), running_dependencies)
    gateway, calls = configuration.channels["sms"].service, HttpCalls()
    assert isinstance(gateway, SmsGateway)
    assert await sms_http.send(calls, gateway, "+12025550101", "Your sign-in code: 1") is None
    await calls.close()
    [text] = running_dependencies.inbox.mails
    assert (text.to, text.text) == ("+12025550101", "Your sign-in code: 1")


async def test_codes_may_be_sent_to_the_numbers_of_the_demos_users(running_dependencies: Dependencies) -> None:
    tenant = tenant_of(configure(Options(port=8080), running_dependencies), "efcx")
    users = [person.user for person in running_dependencies.people[tenant.id]]
    numbers = {e164(user.attributes["phoneNumber"][0], tenant.phone_numbers) for user in users}
    assert numbers == {f"+1202555010{n}" for n in range(len(users))}
