"""Renders the gateway's own pages.

Each page has its own nonce and the headers of `security_headers.page_headers`. It is in the language of the request,
and says so. Language and nonce are made when a page needs them: a proxied request has neither.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment
from markupsafe import Markup

from gateway.domain.ports import Random
from gateway.domain.tenant import Branding, Tenant
from gateway.rendering.colours import palette
from gateway.rendering.languages import Language, Languages
from gateway.rendering.step_view import StepView
from gateway.web.assets import Assets
from gateway.web.request_context import CHECKED, REFERENCE, TENANT, language_of
from gateway.web.security_headers import VARY, page_headers


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders templates to responses. `environments` are by language, `prefix` is the gateway's own path prefix."""

    environments: Mapping[str, Environment]
    languages: Languages
    assets: Assets
    random: Random
    prefix: str = "/-/"

    def render(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """The page of `template`, with `context` over the names of every page (see `_names`).

        Raises `jinja2.UndefinedError` for a name that the template needs and `context` lacks.
        """
        tenant = request.get(TENANT)
        language = language_of(request, self.languages)
        nonce = base64.b64encode(self.random.token_bytes(16)).decode()
        names = {**self._names(request, tenant, language, nonce, context.get("view")), **context}
        # The gateway does not know what it would mean to send the form of an app again.
        names["posted"] = request.method == "POST" and ("view" in context or "here" in context)
        problem = names["problem"]
        response_headers = {
            **page_headers(tenant, nonce),
            "Content-Language": language.code,
            "Vary": VARY,
            **({"Retry-After": str(problem.retry_after)} if problem and problem.retry_after else {}),
            **(headers or {}),
        }
        return web.Response(
            text=self.environments[language.code].get_template(template).render(names),
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers=response_headers,
        )

    def _names(
        self, request: web.Request, tenant: Tenant | None, language: Language, nonce: str, view: StepView | None
    ) -> dict[str, Any]:
        """The names that every template may use."""
        branding: Branding | None = tenant.branding if tenant else None
        return {
            "tenant": branding,
            "home": tenant.home if tenant else "/",
            "palette": palette(branding.colour if branding else ""),
            "language": language,
            "direction": language.direction,
            "languages": self.languages.offered,
            "nonce": nonce,
            "prefix": self.prefix,
            "asset": self.assets.url,
            "script": partial(self._script, nonce),
            "view": view,
            "problem": None,
            "to": view.to if view else "",
            "csrf": view.csrf if view else "",
            "here": self._here(request, view),
            "reference": request.get(REFERENCE, ""),
        }

    def _script(self, nonce: str, name: str) -> Markup:
        """One of our scripts inside the page: they are small, and a first page is three requests with its icon."""
        code = Markup(self.assets.text(name))  # noqa: S704 - our own file, from the same place as the template
        return Markup('<script type="module" nonce="{}">\n{}</script>').format(nonce, code)

    def _here(self, request: web.Request, view: StepView | None) -> str:
        """The page after a change of language: the step shown, else the page asked for, never the answer to a POST."""
        if view is not None:
            return f"{self.prefix}login/{view.step}?{urlencode({'to': view.to})}"
        checked = request.get(CHECKED)
        method, target = (checked.method, checked.target) if checked else (request.method, request.path_qs)
        return target if method in ("GET", "HEAD") else self.prefix + "login"
