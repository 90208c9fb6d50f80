"""Extracts every sentence of the pages, and updates `locales/*/LC_MESSAGES/gateway.po`.

Run `python -m tests.rendering.catalogues` after a change of a sentence; then translate the empty ones.
"""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
LOCALES = ROOT / "locales"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "_counted": (1, 2)}
SOURCE_LANGUAGE = "en"
# Without dates and names, which would make every update a change.
HEADER = """\
# Sentences of the gateway: {code}.
# Brought up to date by: python -m tests.rendering.catalogues
msgid ""
msgstr ""
"Project-Id-Version: efcx-gateway\\n"
"Language: {code}\\n"
"Plural-Forms: {plural}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def extracted() -> Catalog:
    """Returns everything that has to be translated."""
    catalogue = Catalog(project="efcx-gateway", charset="utf-8")
    with (LOCALES / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]  # Babel leaves it untyped
    for folder in ("gateway", "templates"):
        inside = [(p.removeprefix(f"{folder}/"), m) for p, m in methods if p.startswith(f"{folder}/")]
        options_inside = {p.removeprefix(f"{folder}/"): o for p, o in options.items()}
        for name, line, message, comments, context in extract_from_dir(
            ROOT / folder, inside, options_inside, KEYWORDS, comment_tags=("Translators:",)
        ):
            catalogue.add(message, None, [(f"{folder}/{name}", line)], auto_comments=comments, context=context)
    # In a table of units, not in a call.
    for unit in ("day", "hour", "minute", "second"):
        catalogue.add((f"%(num)s {unit}", f"%(num)s {unit}s"), None, [("gateway/rendering/languages.py", 0)])
    return catalogue


def read(code: str) -> Catalog:
    """Returns the catalogue of one language."""
    with (LOCALES / code / "LC_MESSAGES" / "gateway.po").open("rb") as file:
        return read_po(file, locale=code)


def update(code: str) -> None:
    """Adds new sentences to the catalogue of `code` and removes unused ones."""
    path = LOCALES / code / "LC_MESSAGES" / "gateway.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue = read(code) if path.exists() else Catalog(locale=code, project="efcx-gateway", charset="utf-8")
    catalogue.update(extracted(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    for message in catalogue:
        if code == SOURCE_LANGUAGE and message.id:
            message.string = message.id
    with path.open("wb") as file:
        file.write(HEADER.format(code=code, plural=catalogue.plural_forms).encode())
        write_po(file, catalogue, width=0, include_lineno=False, sort_output=True, omit_header=True)


if __name__ == "__main__":
    for language in sorted({SOURCE_LANGUAGE, *(p.parts[-3] for p in LOCALES.glob("*/LC_MESSAGES/gateway.po"))}):
        update(language)
        print(f"{language}: {sum(1 for m in read(language) if m.id and not m.string)} to translate")
