"""What a build adds: compiled translations, and in a wheel the pages, styles, translations and JSON Schemas.

Nothing else of `config/`: that is where an operator's own settings and key ring are.

An editable install gets no copies: they would go stale beside the checkout.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = ("templates", "static", "locales", "config/schema")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # the class is generic only for the back end itself
    """Run by hatchling for every wheel, editable or not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile ``locales/*/LC_MESSAGES/*.po`` and, unless editable, put the data under ``gateway/_data``."""
        root = Path(self.root)
        self._compile(root)
        if version == "editable":
            return
        for name in DATA:
            if (root / name).is_dir():
                build_data["force_include"][str(root / name)] = f"gateway/_data/{name}"

    @staticmethod
    def _compile(root: Path) -> None:
        from babel.messages import mofile, pofile

        for po in sorted(root.glob("locales/*/LC_MESSAGES/*.po")):
            with po.open("rb") as source, po.with_suffix(".mo").open("wb") as target:
                mofile.write_mo(target, pofile.read_po(source, locale=po.parts[-3]))
