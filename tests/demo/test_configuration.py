"""With which configuration the demo runs."""

import pytest

from gateway.demo.configuration import Options, configure
from gateway.demo.neighbours import Neighbours


async def test_the_demo_serves_two_apps_by_the_efcx_policy_on_loopback(around: Neighbours) -> None:
    configuration = configure(Options(port=8080), around)
    tenant = configuration.tenants[0]
    assert configuration.gateway.listen.host == "127.0.0.1"
    assert configuration.gateway.operations.host == "127.0.0.1"
    assert configuration.gateway.store.in_memory
    assert [route.path for route in tenant.routes] == ["/unified-admin", "/agent-manager"]
    assert (tenant.policy.preset, tenant.policy.enabled) == ("efcx", True)


@pytest.mark.attack("F28")
async def test_the_demo_is_reached_by_loopback_names_only(around: Neighbours) -> None:
    tenant = configure(Options(port=8080), around).tenants[0]
    assert set(tenant.all_hosts) == {"localhost", "127.0.0.1"}
    assert tenant.public_url == "http://localhost:8080"


@pytest.mark.attack("F28")
async def test_a_given_store_is_used_under_a_prefix_of_the_demo(around: Neighbours) -> None:
    store = configure(Options(store="redis://127.0.0.1:6379"), around).gateway.store
    assert store.prefix.startswith("demo:")
    assert not store.in_memory


async def test_an_app_of_ones_own_stands_at_the_root(around: Neighbours) -> None:
    tenant = configure(Options(upstream="http://127.0.0.1:9000/"), around).tenants[0]
    assert [(route.path, route.to) for route in tenant.routes] == [("", "http://127.0.0.1:9000")]
    assert tenant.home == "/"
