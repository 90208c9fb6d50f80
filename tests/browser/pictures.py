"""Screenshots of pages: light, dark, from right to left, and on a narrow phone.

With `UPDATE_IMAGES=1` the screenshots are written to `docs/images/`, otherwise to a folder of the test. Each page is
also checked: axe finds no fault, and nothing extends beyond the width of a phone.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from gateway.web import cookies
from tests.browser import png

DOCS = Path(__file__).parents[2] / "docs" / "images"
WIDE: ViewportSize = {"width": 1280, "height": 800}
MAIL: ViewportSize = {"width": 640, "height": 640}
NARROW: ViewportSize = {"width": 320, "height": 640}
LARGEST = 120_000  # bytes of a picture that is kept
_TYPED = "input:not([type=hidden], [type=checkbox], [readonly])"


async def faults(page: Page) -> list[str]:
    """Returns what axe finds on a page (WCAG 2.2 A and AA, and axe's best practices)."""
    found = (await Axe().run(page)).response["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['any'][:1]}" for one in found for node in one["nodes"]]


async def too_wide(page: Page) -> list[str]:
    """Returns the elements beyond the width of the screen."""
    found: list[str] = await page.evaluate(_TOO_WIDE)
    return found


_TOO_WIDE = """() => {
  const edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= edge) return [];
  const over = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > edge);
  return ["wider than " + edge, ...over.map((one) => one.outerHTML.slice(0, 120))];
}"""


@dataclass
class Album:
    """Screenshots of one journey, numbered in order."""

    page: Page
    otherwise: Path
    """The folder of the screenshots that are not kept."""
    taken: int = 0
    only: frozenset[str] | None = None
    """The names of the screenshots that are kept; None keeps all."""

    async def show(self, name: str, *, also_in: str = "") -> None:
        """Takes screenshots of the page: light, dark and on a phone; and in a further language (`also_in`, a code),
        where the page can be requested again."""
        self.taken += 1
        name = f"{self.taken:02}-{name}"
        await self._all_schemes(name)
        if also_in:
            await self._in_language(name, also_in)

    async def hold(self, name: str, *, kept: Collection[str] = (), languages: Collection[str] = ("ar", "ur")) -> None:
        """Checks a page in the same way, and on a phone in each of these languages.

        `name` gives the order of its screenshots among the others; only those in `kept` are kept, for example `light`
        and `ur-phone`.
        """
        chosen = Album(self.page, self.otherwise, only=frozenset(f"{name}-{one}" for one in kept))
        await chosen._all_schemes(name)
        for code in languages:
            await chosen._in_language(name, code, wide=False)

    async def show_mail(self, name: str, html: str) -> None:
        """Takes a screenshot of a mail as a reader of HTML mail shows it."""
        self.taken += 1
        page = await self.page.context.new_page()
        await page.set_viewport_size(MAIL)
        await page.set_content(html)
        self._keep(f"{self.taken:02}-{name}", await page.screenshot())
        await page.close()

    async def _all_schemes(self, name: str) -> None:
        for scheme in ("dark", "light"):
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            await self._one(f"{name}-{scheme}")
        await self._phone(name)

    async def _phone(self, name: str) -> None:
        await self.page.set_viewport_size(NARROW)
        beyond = await too_wide(self.page)
        assert not beyond, (name, beyond)
        await self._one(f"{name}-phone", whole=True)
        await self.page.set_viewport_size(WIDE)

    async def _in_language(self, name: str, code: str, *, wide: bool = True) -> None:
        """Requests the same page in another language, and then in the first one again."""
        typed = await self.page.locator(_TYPED).evaluate_all("all => all.map(i => [i.name, i.value])")
        url = urlsplit(self.page.url)
        choice = {"name": cookies.LANGUAGE, "value": code, "url": f"{url.scheme}://{url.netloc}"}
        await self.page.context.add_cookies([choice])  # type: ignore[list-item]
        await self.page.reload()
        assert await self.page.locator("html").get_attribute("lang") == code
        if wide:
            await self._one(f"{name}-{code}")
        await self._phone(f"{name}-{code}")
        await self.page.context.clear_cookies(name=cookies.LANGUAGE)
        await self.page.reload()
        for field, value in typed:
            await self.page.locator(f"input[name={field}]").fill(value)

    async def _one(self, name: str, *, whole: bool = False) -> None:
        found = await faults(self.page)
        assert not found, (name, found)
        self._keep(name, await self.page.screenshot(full_page=whole, animations="disabled", caret="hide"))

    def _keep(self, name: str, picture: bytes) -> None:
        if os.environ.get("UPDATE_IMAGES") != "1" or (self.only is not None and name not in self.only):
            (self.otherwise / f"{name}.png").write_bytes(picture)
            return
        small = png.pack(picture)
        assert len(small) < LARGEST, (name, len(small))
        DOCS.mkdir(parents=True, exist_ok=True)
        (DOCS / f"{name}.png").write_bytes(small)
