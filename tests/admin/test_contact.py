"""Tests of the e-mail address and the mobile number of a user."""

import pytest

from gateway.domain import session
from tests.admin.administrator import Administrator
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import code_for, codes_to
from tests.fixtures.site import Site

pytestmark = pytest.mark.row("SI-16")


async def save(sara: Administrator, user: User, **typed: str) -> tuple[int, str]:
    """Sends the form; returns status and text of the page after it."""
    path = f"/-/admin/users/{user.id}/contact"
    form = (await sara.confirm(path)).form(path)
    shown = await sara.post(path, {**form, **typed})
    return shown.status, shown.text.replace("&#39;", "'")


async def test_a_new_address_is_stored_audited_and_mailed_to_the_address_before(
    admin_site: Site, sara: Administrator
) -> None:
    agent = admin_site.user()
    status, text = await save(sara, agent, email=f"new-{agent.email}", verified="yes")
    assert (status, "are saved" in text) == (200, True)
    stored = admin_site.keycloak.admin.user(agent.id)
    assert (stored["email"], stored["emailVerified"]) == (f"new-{agent.email}", True)
    (line,) = admin_site.audit.of("contact_changed")
    assert (line["username"], line["changed"]) == (agent.username, ["email"])
    assert any("changed the contact" in mail.subject for mail in admin_site.mail.to(str(agent.email)))


async def test_a_new_address_keeps_the_enrolments_of_the_user(admin_site: Site, sara: Administrator) -> None:
    agent = admin_site.user()
    async with admin_site.person() as browser:
        await browser.first_login(agent.username, agent.password, str(agent.email), admin_site.mail)
    before = admin_site.keycloak.admin.attribute(agent.id)
    await save(sara, agent, email=f"new-{agent.email}")
    assert admin_site.keycloak.admin.attribute(agent.id) == before != []


async def test_an_address_that_is_none_is_a_message_at_its_field_and_stores_nothing(
    admin_site: Site, sara: Administrator
) -> None:
    agent = admin_site.user()
    status, text = await save(sara, agent, email="anna@")
    assert status == 422
    assert 'value="anna@"' in text
    assert 'aria-describedby="email-wrong"' in text
    assert admin_site.keycloak.admin.user(agent.id)["email"] == agent.email


async def test_a_typed_address_is_kept_while_the_administrator_confirms_again(
    admin_site: Site, sara: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONFIRMED_FOR", 60.0)
    agent = admin_site.user()
    path = f"/-/admin/users/{agent.id}/contact"
    form = (await sara.confirm(path)).form(path)
    admin_site.clock.advance(61)
    before = len(codes_to(admin_site.mail, str(sara.user.email)))
    asked = await sara.post(path, {**form, "email": "typed@example.com"})
    tab = await sara.browser.tab(asked.path)
    page = await tab.send("verify", code=await code_for(admin_site.mail, str(sara.user.email), before + 1))
    assert 'value="typed@example.com"' in page.text
    assert admin_site.keycloak.admin.user(agent.id)["email"] == agent.email
