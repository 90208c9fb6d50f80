"""An administrator at the pages, by HTTP: what a browser without scripts sends."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import FORM, PAGE, Person, code_for, codes_to, forms_of
from tests.fixtures.site import Site


@dataclass
class Shown:
    """The page that the browser shows at the end: its status, path with query, and text."""

    status: int
    path: str
    text: str

    def form(self, path: str) -> dict[str, str]:
        """Returns the hidden fields of the form that posts to `path`; empty if there is none."""
        found = self.text.partition(f'action="{path}"')
        return forms_of("<form " + found[2])[0] if found[1] else {}


@dataclass
class Administrator:
    """A browser and its user."""

    site: Site
    browser: Person
    user: User

    async def sign_in(self) -> None:
        """Signs in for the first time, with a code by e-mail."""
        assert self.user.email
        await self.browser.first_login(self.user.username, self.user.password, self.user.email, self.site.mail)

    async def open(self, path: str) -> Shown:
        """Loads a page and follows redirects."""
        url = URL(self.site.base + path, encoded=True)
        async with self.browser.http.get(url, headers=PAGE) as response:
            return Shown(response.status, str(response.url.relative()), await response.text())

    async def confirm(self, path: str) -> Shown:
        """Opens a page that changes something: enters the code that the gateway mails for it."""
        assert self.user.email
        self.site.clock.advance(61)
        before = len(codes_to(self.site.mail, self.user.email))
        tab = await self.browser.tab(path)
        assert urlsplit(tab.path).path == "/-/login/verify", tab.path
        code = await code_for(self.site.mail, self.user.email, before + 1)
        await tab.send("verify", code=code)
        return Shown(200, tab.path, tab.text)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Shown:
        """Sends a form and follows the redirect."""
        url = self.site.base + path
        async with self.browser.http.post(url, data=fields, headers={**FORM, **headers}) as response:
            return Shown(response.status, str(response.url.relative()), await response.text())

    async def act(self, user: User, act: str, *, confirm: bool = True) -> Shown:
        """Carries out one act for a user: its page, then its form."""
        path = f"/-/admin/users/{user.id}/{act}"
        page = await (self.confirm(path) if confirm else self.open(path))
        return await self.post(path, page.form(path))
