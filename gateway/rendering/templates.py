"""Makes the template environments for pages and mails, one for each language.

HTML is escaped, text is not. A name that was not given is an error. The styles of mails are inlined when a mail
template is loaded, because mail programs drop style sheets.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_environment, select_autoescape
from jinja2.bccache import Bucket, BytecodeCache

from gateway.rendering.languages import Language, Languages

MAIL_LAYOUT = "mail.html"
MAIL_FOLDER = "factors/"
PAGES = "/pages/"
"""Folder of a factor's page fragments, beside its mails."""
_COLOUR = re.compile(r"var\(--(\w+)\)")
"""A colour of the tenant in `mail.css`."""


def build_environments(root: Path, languages: Languages) -> Mapping[str, Environment]:
    """Returns the environment over `root/templates` of each language by its code."""
    return {language.code: _environment(root, language) for language in languages}


def _environment(root: Path, language: Language) -> Environment:
    environment = Environment(
        loader=_Loader(root / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html",), default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_COMPILED,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals["language"] = language
    environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["_"] = environment.globals["gettext"]  # else each text is looked up by two calls
    environment.globals["icon"] = _icon
    return environment


class _Compiled(BytecodeCache):
    """The code of templates, which is the same in each language: it is compiled once in a process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._known[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()


@pass_environment
def _icon(environment: Environment, name: str) -> object:
    """A picture of `icons.html`. An import would make its macros again for each page."""
    return environment.get_template("icons.html").module.icon(name)  # type: ignore[attr-defined]


class _Loader(FileSystemLoader):
    """Reads templates; those of mails with their styles inlined.

    The inliner parses them as HTML: a mail template puts Jinja tags only where text may stand, never among attributes
    or rows of a table. A style may use a colour of the tenant, as `var(--brand)`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._css = (folder / "mail.css").read_text(encoding="utf-8")

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, filename, uptodate = super().get_source(environment, template)
        if template == MAIL_LAYOUT:
            inliner = css_inline.CSSInliner(extra_css=self._css, keep_at_rules=True, load_remote_stylesheets=False)
            source = inliner.inline(source)
        elif template.startswith(MAIL_FOLDER) and template.endswith(".html") and PAGES not in template:
            source = css_inline.CSSInliner(load_remote_stylesheets=False).inline_fragment(source, self._css)
        else:
            return source, filename, uptodate
        return _COLOUR.sub(r"{{ palette.\1 }}", source), filename, uptodate
