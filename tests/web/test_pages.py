"""Tests of `gateway.web.pages`."""

import re
from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.domain.tenant import Branding, Help
from gateway.rendering.problem_view import problem_view
from gateway.web.request_context import LANGUAGE, language_of
from gateway.web.security_headers import page_headers
from tests.fixtures import page_states as states

PAGES = states.pages()
PROBLEM = problem_view(Problem.LOCKED, PAGES.languages.get("en"), states.NOW + 60, states.NOW, "ABCD2345")


def directives(policy: str) -> dict[str, str]:
    """Returns a Content-Security-Policy by directive."""
    return {name: value for name, _, value in (part.partition(" ") for part in policy.split("; "))}


def test_a_page_may_load_only_resources_of_the_gateway() -> None:
    response = PAGES.render(states.request(of=states.tenant()), "problem.html", {"problem": PROBLEM}, 429)
    policy = directives(response.headers["Content-Security-Policy"])
    nonce = policy["script-src"]
    assert nonce.startswith("'nonce-")
    assert policy == {
        "default-src": "'none'",
        "script-src": nonce,
        "style-src": f"'self' {nonce}",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert f'nonce="{nonce[7:-1]}"' in str(response.text)


def test_a_script_of_a_page_has_the_nonce_of_its_policy_and_its_own_code() -> None:
    response = PAGES.render(states.request(of=states.tenant()), "problem.html", {"problem": PROBLEM}, 429)
    nonce = directives(response.headers["Content-Security-Policy"])["script-src"][7:-1]
    code = PAGES.assets.text("countdown.js")
    assert f'<script type="module" nonce="{nonce}">\n{code}</script>' in str(response.text)


def test_times_on_a_page_are_those_of_the_tenant() -> None:
    request = states.request(of=replace(states.tenant(), time_zone="Asia/Dubai"))
    request.pop(LANGUAGE, None)
    assert language_of(request, PAGES.languages).time(states.NOW) == "12:00 (UTC+04)"


def test_every_page_has_a_unique_nonce() -> None:
    policies = {
        PAGES.render(states.request(of=states.tenant()), "problem.html", {"problem": PROBLEM}).headers[
            "Content-Security-Policy"
        ]
        for _ in range(5)
    }
    assert len(policies) == 5


def test_a_page_is_not_cached_not_framed_and_sends_no_referrer() -> None:
    headers = page_headers(states.tenant(), "n")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_hsts_is_set_for_https_tenants_only() -> None:
    assert "Strict-Transport-Security" in page_headers(states.tenant(), "n")
    assert "Strict-Transport-Security" not in page_headers(states.tenant(public_url="http://localhost:8080"), "n")
    assert "Strict-Transport-Security" not in page_headers(None, "n")


@pytest.mark.parametrize(
    ("logo", "sources"),
    [
        ("https://cdn.example.com/logo.svg", "'self' https://cdn.example.com"),
        ("/logo.svg", "'self'"),
        ("https://evil.example;script-src *", "'self'"),
        ("data:image/png;base64,AAAA", "'self'"),
        ("", "'self'"),
    ],
)
def test_the_logo_is_the_only_external_image(logo: str, sources: str) -> None:
    tenant = states.tenant(Branding(name="A", logo=logo))
    assert directives(page_headers(tenant, "n")["Content-Security-Policy"])["img-src"] == sources


def test_a_wait_is_in_the_retry_after_header_too() -> None:
    response = PAGES.render(states.request(of=states.tenant()), "problem.html", {"problem": PROBLEM}, 429)
    assert (response.status, response.headers["Retry-After"]) == (429, "60")


@pytest.mark.row("GW-39")
def test_the_page_is_in_the_language_of_the_request_and_declares_it() -> None:
    arabic = PAGES.render(states.request(language="ar", of=states.tenant()), "problem.html", {"problem": PROBLEM})
    assert arabic.headers["Content-Language"] == "ar"
    assert '<html lang="ar" dir="rtl">' in str(arabic.text)
    assert "Accept-Language" in arabic.headers["Vary"]


@pytest.mark.row("GW-39")
def test_without_a_choice_the_tenants_and_then_the_browsers_language_is_used() -> None:
    header = {"Accept-Language": "ar"}
    assert language_of(states.request(language=None, headers=header), PAGES.languages).code == "ar"
    english = states.tenant(Branding(name="A", language="en"))
    assert language_of(states.request(language=None, of=english, headers=header), PAGES.languages).code == "en"


def test_the_language_form_returns_to_its_page() -> None:
    asked = states.request("/-/account?tab=2", of=states.tenant())
    page = str(PAGES.render(asked, "problem.html", {"problem": PROBLEM}).text)
    assert 'name="to" value="/-/account?tab=2"' in page


def test_after_a_post_the_language_form_returns_to_the_step() -> None:
    posted = states.request("/-/login/verify", method="POST", of=states.tenant())
    page = str(PAGES.render(posted, "steps/verify.html", {"view": states.verify(), "problem": None}).text)
    assert 'name="to" value="/-/login/verify?to=%2Funified-admin%2F"' in page
    page = str(PAGES.render(posted, "problem.html", {"problem": PROBLEM}).text)
    assert 'name="to" value="/-/login"' in page


def test_a_reload_repeats_the_form_of_an_app_and_never_one_of_the_gateways_own() -> None:
    posted = states.request("/unified-admin/order", method="POST", of=states.tenant())
    assert "data-here" not in str(PAGES.render(posted, "problem.html", {"problem": PROBLEM}).text)
    step = PAGES.render(posted, "steps/verify.html", {"view": states.verify(), "problem": None})
    assert 'data-here="/-/login/verify?' in str(step.text)


def test_a_page_without_a_tenant_is_complete() -> None:
    nowhere = problem_view(Problem.UNKNOWN_HOST, PAGES.languages.get("en"), None, states.NOW, "ABCD2345")
    response = PAGES.render(states.request(), "problem.html", {"problem": nowhere}, 421)
    assert response.status == 421
    assert "ABCD2345" in str(response.text)


@pytest.mark.parametrize(
    ("problem", "href"),
    [
        (Problem.NOT_FOUND, "/unified-admin/"),
        (Problem.SIGN_IN_FIRST, "/-/login"),
        (Problem.APP_UNAVAILABLE, "/agent-manager/x?y=1"),
    ],
)
def test_a_problem_page_offers_a_next_step(problem: Problem, href: str) -> None:
    seen = problem_view(problem, PAGES.languages.get("en"), None, states.NOW)
    asked = states.request("/agent-manager/x?y=1", of=states.tenant())
    assert f'<a class="main" href="{href}">' in str(PAGES.render(asked, "problem.html", {"problem": seen}).text)


def test_the_tenants_colour_has_a_readable_text_colour() -> None:
    tenant = states.tenant(replace(states.tenant().branding, colour="#ffe14d"))
    page = str(PAGES.render(states.request(of=tenant), "problem.html", {"problem": PROBLEM}).text)
    assert "--brand:#ffe14d;--on-brand:#0b0d12" in page


def test_the_icon_of_a_page_has_the_colour_of_the_tenant() -> None:
    request = states.request(of=states.tenant(Branding(name="Northwind", colour="#7c3aed")))
    assert re.search(
        r'rel="icon" href="[^"]+\.svg\?7c3aed"',
        str(PAGES.render(request, "problem.html", {"problem": PROBLEM}).text),
    )


def test_a_mail_or_ticket_that_a_problem_page_begins_has_its_reference() -> None:
    help_desk = Help(email="help@example.com", url="https://tickets.example.com/new?about={reference}")
    request = states.request(of=states.tenant(Branding(name="Northwind", help=help_desk)))
    page = str(PAGES.render(request, "problem.html", {"problem": PROBLEM}).text)
    assert 'href="mailto:help@example.com?subject=Help%20with%20signing%20in%2C%20reference%20ABCD2345"' in page
    assert 'href="https://tickets.example.com/new?about=ABCD2345"' in page
