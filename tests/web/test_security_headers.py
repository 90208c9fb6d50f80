"""Tests of the security headers of every answer of the gateway."""

from gateway.web import security_headers
from tests.fixtures.sample_tenants import tenant


def test_every_answer_of_the_gateway_is_not_cached_and_not_framed() -> None:
    carried = security_headers.headers(secure=tenant().secure)
    assert carried["Cache-Control"] == "no-store"
    assert "Cookie" in carried["Vary"]
    assert "frame-ancestors 'none'" in carried["Content-Security-Policy"]
    assert carried["Strict-Transport-Security"].startswith("max-age=")


def test_the_cache_is_cleared_for_the_next_user_and_the_storage_where_the_tenant_says_so() -> None:
    assert security_headers.clear_site_data(tenant()) == '"cache"'
    assert security_headers.clear_site_data(tenant(clear_storage_at_sign_out=True)) == '"cache", "storage"'


def test_an_http_tenant_sets_no_hsts() -> None:
    assert "Strict-Transport-Security" not in security_headers.headers(
        secure=tenant(public_url="http://localhost:8080").secure
    )
    assert "Strict-Transport-Security" not in security_headers.page_headers(None, "nonce")
