"""Pictures of every page for human eyes.

``python -m tests.rendering.preview FOLDER [NAME …]`` writes one PNG for each state of ``states.STATES`` whose name
begins with a NAME, in light and dark, in each language, on a desktop and at 320 px.
"""

import asyncio
import itertools
import shutil
import sys
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from gateway.domain.tenant import Branding
from tests.fixtures import page_states as states
from tests.rendering.serving import serving

WIDTHS = {"wide": 760, "320": 320}


async def picture(browser: Browser, address: str, file: Path, scheme: str, width: int) -> None:
    """Returns a PNG of one whole page."""
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 760}
    )
    page = await context.new_page()
    answer = await page.goto(address)
    if answer is None or not answer.ok:
        raise RuntimeError(f"{address} does not render")
    await page.screenshot(path=file, full_page=True)
    await context.close()


async def main(folder: Path, wanted: list[str]) -> None:
    """Writes all combinations of the wanted states; every state if none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [n for n in states.STATES if not wanted or any(n.startswith(w) for w in wanted)]
    brand = Branding(name="Northwind Contact Centre", help=states.HELP)
    async with serving(states.tenant(brand)) as address, async_playwright() as play:
        browser = await play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, scheme, code, (size, width) in itertools.product(
            names, ("light", "dark"), states.LANGUAGES, WIDTHS.items()
        ):
            file = folder / f"{name}-{code}-{scheme}-{size}.png"
            await picture(browser, f"{address}/{code}/{name}", file, scheme, width)
        for name, code in itertools.product(states.MAILS, states.LANGUAGES):
            if not wanted or "mail" in wanted:
                await picture(
                    browser, f"{address}/{code}/mail/{name}", folder / f"mail-{name}-{code}.png", "light", 640
                )
        await browser.close()
    print(f"{len(names)} states in {folder}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
