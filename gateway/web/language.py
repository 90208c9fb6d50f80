"""Which language did this browser choose, and how does it choose another?

Order: the choice (a plain cookie), the tenant's language, `Accept-Language` (GW-39). Choosing needs no token, only that
one of our own pages asks: it changes nothing but words, and must work on a page that stands outside every login.
"""

from aiohttp import hdrs, web

from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.rendering.languages import Languages
from gateway.web import cookies, protections, return_to
from gateway.web.csrf import same_origin
from gateway.web.error_responses import ErrorResponses
from gateway.web.protections import InvalidForm
from gateway.web.request_context import TENANT


def chosen(request: web.Request, languages: Languages, tenant: Tenant | None) -> str:
    """The code of the language in which this request is answered."""
    choice = cookies.read(request.headers.getall(hdrs.COOKIE, []), cookies.LANGUAGE)
    wish = tenant.branding.language if tenant else ""
    return languages.negotiate(choice, wish, request.headers.get(hdrs.ACCEPT_LANGUAGE)).code


class LanguageChoice:
    """`POST {prefix}language` with the fields `language` and `to`."""

    def __init__(self, *, languages: Languages, failures: ErrorResponses) -> None:
        self._languages = languages
        self._failures = failures

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Keep the choice and go back to the page it was made on."""
        tenant = request[TENANT]
        if not same_origin(request.headers, tenant):
            return self._failures.respond(request, Problem.ORIGIN_REFUSED)
        fields = await protections.read_fields(request)
        if isinstance(fields, InvalidForm):
            return self._failures.respond(request, fields.problem, status=fields.status, cause=fields.detail)
        code = fields.get("language", "")
        if code not in self._languages:
            return self._failures.respond(request, Problem.BAD_INPUT, cause="a language that is not offered")
        back = return_to.same_origin_path(fields.get("to")) or tenant.home
        headers = {**protections.headers(tenant), hdrs.LOCATION: back, hdrs.SET_COOKIE: cookies.language(tenant, code)}
        return web.Response(status=303, headers=headers)
