"""A user at a real browser; the methods find fields and buttons by their labels."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, WebError

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for

Look = Callable[[str], Awaitable[None]]
"""Is called with the name of each step as soon as the browser shows its page."""


async def no_report(_step: str) -> None:
    """Does nothing with a page."""


class Complaints:
    """Collects what the browser reports about the pages: violated policies and script errors."""

    def __init__(self, context: BrowserContext) -> None:
        self.said: list[str] = []
        context.on("console", self._console)
        context.on("weberror", self._error)

    def _console(self, message: ConsoleMessage) -> None:
        refused = any(word in message.text for word in ("Content Security Policy", "Refused to", "violates"))
        if refused or (message.type == "error" and "Failed to load resource" not in message.text):
            self.said.append(f"{message.location.get('url')}: {message.text}")

    def _error(self, error: WebError) -> None:
        self.said.append(str(error.error))


@dataclass
class Agent:
    """A user at one page of a browser. Each method ends when the browser shows the next page."""

    page: Page
    base: str
    user: User
    mail: MailServer
    complaints: Complaints
    look: Look = no_report
    scripts: bool = True

    async def open(self, path: str = "/unified-admin/") -> None:
        """Opens an app."""
        await self.page.goto(self.base + path)

    @property
    def code(self) -> Locator:
        """Returns the field for the code."""
        return self.page.locator("#code")

    async def button(self, name: str) -> None:
        """Presses the button with exactly this label."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def password(self, password: str = "") -> None:
        """Fills in the password page."""
        await self.page.get_by_label("Username").fill(self.user.username)
        await self.page.get_by_label("Password", exact=True).fill(password or self.user.password)
        await self.look("password")
        await self.button("Sign in")

    async def register(self, address: str) -> None:
        """Types an address and continues to the confirmation page."""
        await self.page.get_by_label("Email address").fill(address)
        await self.look("register")
        await self.button("Continue")

    async def confirm(self) -> None:
        """Requests the code."""
        await self.page.get_by_role("heading", name="Check your address").wait_for()
        await self.look("confirm")
        await self.button("Send the code")
        await self.code.wait_for()

    async def verify(self, code: str) -> None:
        """Types a code into the code page."""
        await self.enter_code(code, self.code, "Verify")

    async def enter_code(self, code: str, field: Locator, button: str) -> None:
        """Types a code into `field`. A script submits a complete code; the button submits any other entry."""
        held = await field.get_attribute("data-hold") is not None or not self.scripts
        digits = None if held else await field.get_attribute("data-digits")
        places = [place for place, character in enumerate(code) if character.isdecimal()]
        last = places[-1] if digits == str(len(places)) else len(code) - 1
        await field.fill(code[:last])
        await self.look("verify")
        if digits == str(len(places)):
            async with self.page.expect_navigation():
                await field.press_sequentially(code[last])
        else:
            await field.fill(code)
            await self.button(button)

    async def to_verify(self, address: str, path: str = "/unified-admin/") -> str:
        """Goes from an empty browser to the code page of a first login and returns the code."""
        await self.open(path)
        await self.password()
        await self.register(address)
        await self.confirm()
        return await code_for(self.mail, address)

    async def first_login(self, address: str, path: str = "/unified-admin/") -> None:
        """Goes from an empty browser to the app."""
        await self.verify(await self.to_verify(address, path))
        await self.page.wait_for_url(self.base + path)
