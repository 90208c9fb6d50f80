"""Tests of every page with axe in a real browser: one for the whole module, with a new user for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from gateway.domain.tenant import Branding
from tests.fixtures import page_states as states
from tests.fixtures.browser import launched, new_page
from tests.fixtures.clock import START
from tests.rendering.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
fixture_of_module = pytest_asyncio.fixture(scope="module", loop_scope="module")


@fixture_of_module
async def browser() -> AsyncIterator[Browser]:
    """Yields a headless Chromium."""
    async with async_playwright() as playwright, launched(playwright) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Yields a page of a user who reads English, on a laptop."""
    async with new_page(browser) as made:
        yield made


@fixture_of_module
async def address() -> AsyncIterator[str]:
    """Yields the address of the pages."""
    async with serving(states.tenant()) as served:
        yield served


async def stop_clock(page: Page) -> None:
    """Stops the browser's clock: only the test advances it, so a busy machine loses no second of a countdown."""
    await page.clock.install(time=START)
    await page.clock.pause_at(START + 1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scheme", "code", "width", "each"), [("light", "en", 1100, 1), ("dark", "ar", 320, 1), ("light", "ur", 320, 3)]
)
async def test_axe_finds_no_fault_on_any_page(
    browser: Browser, address: str, scheme: str, code: str, width: int, each: int
) -> None:
    """Every third page is enough in a second language from right to left: its markup and styles are the same."""
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}, bypass_csp=True
    )
    page = await context.new_page()
    found = {}
    for name in list(states.STATES)[::each]:
        await page.goto(f"{address}/{code}/{name}")
        results = await Axe().run(page)
        if results.violations_count:
            found[name] = results.generate_report()
    assert not found, "\n".join(f"{name}: {report}" for name, report in found.items())


async def test_a_pale_tenant_colour_stays_readable(browser: Browser) -> None:
    async with serving(states.tenant(Branding(name="Sun", colour="#ffe14d", help=states.HELP))) as served:
        context = await browser.new_context(bypass_csp=True)
        page = await context.new_page()
        await page.goto(f"{served}/en/verify")
        assert (await Axe().run(page)).violations_count == 0


@fixture_of_module
async def seen(browser: Browser, address: str) -> tuple[list[str], dict[str, int]]:
    """Returns what a browser 320 pixels wide reports about all pages, and the width that each one needs."""
    page = await browser.new_page(viewport={"width": 320, "height": 640})
    said, widths = list[str](), dict[str, int]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for code in states.LANGUAGES:
        for name in states.STATES:
            await page.goto(f"{address}/{code}/{name}")
            widths[f"{code}/{name}"] = await page.evaluate("document.documentElement.scrollWidth")
    return said, widths


@pytest.mark.timeout(300)
async def test_no_page_causes_a_script_error_or_violates_its_content_security_policy(
    seen: tuple[list[str], dict[str, int]],
) -> None:
    assert seen[0] == []


@pytest.mark.timeout(300)
async def test_every_page_fits_a_screen_of_320_pixels(seen: tuple[list[str], dict[str, int]]) -> None:
    assert len(seen[1]) == len(states.LANGUAGES) * len(states.STATES)
    assert {name: width for name, width in seen[1].items() if width > 320} == {}


async def test_a_first_page_is_at_most_40_kilobytes_in_three_requests(page: Page, address: str) -> None:
    sizes: list[int] = []

    async def note(finished: object) -> None:
        sizes.append(len(await finished.body()))  # type: ignore[attr-defined]

    page.on("response", note)
    await page.goto(f"{address}/en/password", wait_until="networkidle")
    assert len(sizes) <= 3  # the page, its style, its icon
    assert sum(sizes) <= 40_000


async def test_the_user_can_show_the_password_and_it_is_hidden_again_before_it_is_sent(
    page: Page, address: str
) -> None:
    await page.goto(f"{address}/en/password")
    field = page.locator("#password")
    await field.fill("made-up")
    await page.get_by_role("button", name="Show password").click()
    assert await field.get_attribute("type") == "text"
    await page.evaluate("document.querySelector('form').addEventListener('submit', (e) => e.preventDefault())")
    await page.fill("#username", "amira")
    await page.get_by_role("button", name="Sign in").click()
    assert await field.get_attribute("type") == "password"


@pytest.mark.row("EF-20")
async def test_a_passcode_is_hidden_until_the_user_shows_it_and_never_submits_itself(page: Page, address: str) -> None:
    await page.goto(f"{address}/en/verify-rsa")
    field = page.get_by_label("Passcode", exact=True)
    await page.evaluate("addEventListener('submit', (e) => { e.preventDefault(); window.sent = true; })")
    await field.press_sequentially("12345678246810")
    assert await page.evaluate("window.sent") is None
    await page.get_by_role("button", name="Show passcode").click()
    assert await field.get_attribute("type") == "text"
    assert await field.input_value() == "12345678246810"
    await field.press("Enter")
    assert await page.evaluate("window.sent") is True
    assert await field.get_attribute("type") == "password"


async def test_the_countdown_announces_only_60_20_and_0_seconds(page: Page, address: str) -> None:
    await stop_clock(page)
    await page.goto(f"{address}/en/verify")
    spoken = page.locator("[data-announce]")
    life = page.locator("#code-life")
    assert await life.inner_text() == "The code expires in 4:32."
    heard = []
    await page.fill("#code", "4")  # the page waits for the user who is typing
    for seconds in (100, 111, 2, 38, 3, 15, 10):
        await page.clock.run_for(seconds * 1000)
        heard.append(await spoken.inner_text())
    one, twenty, over = (
        "One minute left for this code.",
        "20 seconds left for this code.",
        "This code has expired. Send yourself a new one.",
    )
    assert heard == ["", "", one, one, twenty, twenty, over]
    assert await life.inner_text() == over


async def test_the_resend_button_is_enabled_again_without_a_reload(page: Page, address: str) -> None:
    await stop_clock(page)
    await page.goto(f"{address}/en/verify")
    button = page.locator("button[value=resend]")
    assert await button.is_disabled()
    assert (await button.inner_text()).split() == ["Send", "a", "new", "code", "0:45"]
    await page.clock.run_for(46_000)
    assert await button.is_enabled()
    assert await button.inner_text() == "Send a new code"


@pytest.mark.row("CC-13")
async def test_another_kind_of_code_changes_label_hint_and_keyboard_of_the_field(page: Page, address: str) -> None:
    await page.goto(f"{address}/en/verify-any")
    field = page.locator("#code")
    assert await field.get_attribute("inputmode") == "numeric"
    await page.get_by_role("button", name="Use a backup code").click()
    assert await page.get_by_label("Backup code", exact=True).get_attribute("inputmode") == "text"
    assert await field.evaluate("one => one === document.activeElement")
    assert await page.get_by_role("button", name="Use a backup code").count() == 0
    await page.get_by_role("button", name="Use a code from your administrator").click()
    assert await page.get_by_label("Code from your administrator", exact=True).get_attribute("inputmode") == "numeric"
    assert "The 12 digits" in await page.locator("#code-hint").inner_text()
    await page.get_by_role("button", name="Use your authenticator app").click()
    assert await page.get_by_label("Code from your authenticator app", exact=True).count() == 1


async def test_after_a_wrong_backup_code_the_field_is_still_one_for_a_backup_code(page: Page, address: str) -> None:
    await page.goto(f"{address}/en/verify-extras-wrong")
    assert await page.get_by_label("Backup code", exact=True).count() == 1


@pytest.mark.parametrize("size", [{"width": 1366, "height": 768}, {"width": 360, "height": 640}])
async def test_the_code_field_and_its_button_are_on_the_first_screen(
    browser: Browser, address: str, size: ViewportSize
) -> None:
    page = await browser.new_page(viewport=size)
    for name in ("verify", "verify-totp", "verify-any", "verify-any-sent", "verify-extras", "verify-extras-wait"):
        await page.goto(f"{address}/en/{name}")
        box = await page.locator("button.main").bounding_box()
        assert box
        assert box["y"] + box["height"] <= size["height"], name


async def test_a_phone_adds_the_account_to_its_own_app_first(browser: Browser, address: str) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = await context.new_page()
    await page.goto(f"{address}/en/register-totp")
    add = await page.get_by_role("link", name="Add to my authenticator app").bounding_box()
    key = await page.locator(".secret").bounding_box()
    assert add
    assert key
    assert add["y"] + add["height"] <= key["y"]
    assert not await page.locator(".qr").is_visible()
    await page.get_by_text("Scan with another device").click()
    assert await page.locator(".qr").is_visible()


async def test_the_lock_page_enables_its_button_when_the_wait_is_over(page: Page, address: str) -> None:
    await stop_clock(page)
    await page.goto(f"{address}/en/stopped-locked")
    button = page.locator("button.main")
    assert await button.is_disabled()
    await page.clock.run_for(1_791_000)
    assert await button.is_enabled()
    assert "You can try again now." in await page.locator("main").inner_text()


async def test_the_page_offers_a_new_code_before_the_old_one_expires(page: Page, address: str) -> None:
    await stop_clock(page)
    await page.goto(f"{address}/en/verify")
    await page.clock.run_for(255_000)
    assert "offered" in str(await page.locator("button[value=resend]").get_attribute("class"))


async def test_every_control_is_reachable_without_scripts(browser: Browser, address: str) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{address}/en/verify")
    assert await page.locator("button[value=resend]").is_enabled()
    assert "The code works until" in await page.locator("#code-life").inner_text()
    await page.goto(f"{address}/en/password")
    assert await page.get_by_role("button", name="Show password").count() == 0


async def test_focus_is_on_the_one_field_or_where_there_is_none_on_the_problem(page: Page, address: str) -> None:
    focus = {
        "password": "username",
        "password-wrong": "password",
        "register-email": "address",
        "register-email-bad": "address",
        "register-totp": "",  # the picture comes first
        "verify": "code",
        "verify-wrong": "code",
        "new-password-current-wrong": "current_password",
        "new-password-refused": "new_password",
    }
    for name, wanted in focus.items():
        await page.goto(f"{address}/en/{name}")
        assert await page.evaluate("document.activeElement.id") == wanted, name


@pytest.mark.row("CC-04")
async def test_backup_codes_can_be_saved_copied_and_printed(browser: Browser, address: str) -> None:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await page.add_init_script("window.print = () => { window.printed = true; }")
    await page.goto(f"{address}/en/backup-codes")
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="Save as a file").click()
    file = await saved.value
    text = Path(await file.path()).read_text(encoding="utf-8")
    assert file.suggested_filename == "expertflow-amira.haddad-backup-codes.txt"
    assert text.split()[-len(states.BACKUP_CODES) :] == list(states.BACKUP_CODES)
    await page.get_by_role("button", name="Copy").click()
    await page.get_by_role("button", name="Copied").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == "\n".join(states.BACKUP_CODES)
    await page.get_by_role("button", name="Print").click()
    assert await page.evaluate("window.printed")


@pytest.mark.parametrize(("locale", "time"), [("en-GB", "8:29"), ("en-US", "8:29 AM"), ("de-DE", "8:29 AM")])
async def test_a_time_is_written_as_in_the_region_of_the_browser(
    browser: Browser, address: str, locale: str, time: str
) -> None:
    page = await (await browser.new_context(locale=locale, timezone_id="UTC")).new_page()
    await page.goto(f"{address}/en/stopped-locked")
    shown = await page.locator("time").first.inner_text()
    assert shown.replace("\u202f", " ") == time


@pytest.mark.row("CC-04")
async def test_without_scripts_backup_codes_can_still_be_saved(browser: Browser, address: str) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{address}/en/backup-codes")
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="Save as a file").click()
    assert (await saved.value).suggested_filename == "expertflow-amira.haddad-backup-codes.txt"
    assert await page.get_by_role("button", name="Copy").count() == 0


@pytest.mark.row("SI-10")
async def test_a_used_app_code_shows_a_countdown_and_then_asks_for_the_next_code(page: Page, address: str) -> None:
    await stop_clock(page)
    await page.goto(f"{address}/en/verify-totp-used")
    problem = page.locator("#problem")
    assert "Your app shows the next one in 0:23." in await problem.inner_text()
    assert await page.get_by_role("button", name="Verify").is_enabled()
    await page.clock.run_for(24_000)
    assert "Enter the code your app shows now." in await problem.inner_text()


async def test_the_enter_key_in_the_address_field_submits_it_and_picks_no_other_method(
    page: Page, address: str
) -> None:
    await page.goto(f"{address}/en/register-several-email")
    await page.fill("#address", "amira@example.com")
    async with page.expect_request("**/-/login/register") as sent:
        await page.press("#address", "Enter")
    assert "address=amira" in str((await sent.value).post_data)
    assert "factor=" not in str((await sent.value).post_data)


async def test_the_lock_of_one_user_does_not_block_another_user_at_the_same_browser(page: Page, address: str) -> None:
    await page.goto(f"{address}/en/password-locked")
    button = page.get_by_role("button", name="Sign in")
    assert await button.is_disabled()
    await page.fill("#username", "somebody.else")
    assert await button.is_enabled()
