"""Makes the one template environment for pages and mails.

HTML is escaped, text is not. A name that was not given is an error. `gettext` uses the `language` of the context. The
styles of mails are inlined when a mail template is loaded, because mail programs drop style sheets.
"""

from collections.abc import Callable
from pathlib import Path

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context

MAIL_LAYOUT = "mail.html"
MAIL_STYLES = "mail.css"
MAIL_FOLDER = "factors/"
PAGES = "/pages/"
"""Folder of a factor's page fragments, beside its mails."""


def build_environment(root: Path) -> Environment:
    """The environment over `root/templates`; templates get `language: rendering.languages.Language`."""
    environment = Environment(
        loader=_Loader(root / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html",), default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    return environment


@pass_context
def _gettext(context: Context, message: str) -> str:
    return str(context["language"].translations.gettext(message))


@pass_context
def _ngettext(context: Context, singular: str, plural: str, count: int) -> str:
    return str(context["language"].translations.ngettext(singular, plural, count))


class _Loader(FileSystemLoader):
    """Reads templates; those of mails with their styles inlined.

    The inliner parses them as HTML: a mail template puts Jinja tags only where text may stand, never among attributes
    or rows of a table.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._styles = folder / MAIL_STYLES

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, filename, uptodate = super().get_source(environment, template)
        if template == MAIL_LAYOUT:
            inliner = css_inline.CSSInliner(extra_css=self._css(), load_remote_stylesheets=False)
            return inliner.inline(source), filename, uptodate
        if template.startswith(MAIL_FOLDER) and template.endswith(".html") and PAGES not in template:
            inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
            return inliner.inline_fragment(source, self._css()), filename, uptodate
        return source, filename, uptodate

    def _css(self) -> str:
        return self._styles.read_text(encoding="utf-8")
