"""Tests of the fields: users paste, show, hide, and type codes with different keyboards."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewAgent, Site

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
ADDRESS = "fields@example.com"
ARABIC_INDIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
EXTENDED = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


async def paste(page: Page, label: str, text: str) -> None:
    """Puts `text` on the clipboard and pastes it into a field."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.evaluate("text => navigator.clipboard.writeText(text)", text)
    await page.get_by_label(label, exact=True).focus()
    await page.keyboard.press("ControlOrMeta+V")


async def test_a_password_can_be_pasted(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    await paste(agent.page, "Username", agent.user.username)
    await paste(agent.page, "Password", agent.user.password)
    await agent.button("Sign in")
    await agent.page.get_by_label("Email address").wait_for()


@pytest.mark.row("GW-32")
async def test_a_code_can_be_pasted_with_the_spaces_that_the_mail_shows(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    await paste(agent.page, "6-digit code", f" {code[:3]} {code[3:]} ")
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


@pytest.mark.row("GW-32")
@pytest.mark.parametrize(
    "typed",
    [
        pytest.param(lambda code: code.translate(ARABIC_INDIC), id="arabic-indic digits"),
        pytest.param(lambda code: code.translate(EXTENDED), id="extended digits"),
        pytest.param(lambda code: f"{code[:3]}-{code[3:]}", id="a hyphen"),
        pytest.param(lambda code: f"\u2067{code}\u2069", id="bidi marks"),
    ],
)
async def test_a_code_is_accepted_in_the_digits_and_spacing_that_users_type(
    site: Site, new_agent: NewAgent, typed: object
) -> None:
    assert callable(typed)
    agent = await new_agent()
    await agent.verify(typed(await agent.to_verify(ADDRESS)))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


@pytest.mark.row("GW-32")
async def test_the_code_field_requests_a_numeric_keyboard_and_one_time_code_autofill(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.to_verify(ADDRESS)
    await expect(agent.code).to_have_attribute("inputmode", "numeric")
    await expect(agent.code).to_have_attribute("autocomplete", "one-time-code")
    assert await agent.code.get_attribute("pattern") is None


async def test_the_user_can_show_and_hide_the_password(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    field = agent.page.get_by_label("Password", exact=True)
    await expect(field).to_have_attribute("type", "password")
    await agent.button("Show password")
    await expect(field).to_have_attribute("type", "text")
    await expect(field).to_be_focused()
    hide = agent.page.get_by_role("button", name="Hide password", exact=True)
    await expect(hide).to_have_text("Hide")  # users of voice control say the visible label
    await hide.click()
    await expect(field).to_have_attribute("type", "password")


async def test_the_page_warns_of_caps_lock_while_the_user_types_a_password(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    field = agent.page.get_by_label("Password", exact=True)
    hint = agent.page.get_by_text("Caps Lock is on.")
    await expect(hint).to_have_count(0)
    await field.dispatch_event("keydown", {"key": "A", "modifierCapsLock": True})
    await expect(hint).to_be_visible()
    await field.dispatch_event("keydown", {"key": "a", "modifierCapsLock": False})
    await expect(hint).to_have_count(0)
