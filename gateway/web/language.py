"""Stores the language that a user chooses (`web.pages` reads it).

The form needs no token, only that one of our own pages posts it: it changes nothing but words, and must work on a page
outside of every login.
"""

from dataclasses import dataclass

from aiohttp import web

from gateway.domain.problem import Problem
from gateway.rendering.languages import Languages
from gateway.web import cookies, return_to
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Redirect, Reply


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """`POST {prefix}language` with the fields `language` and `to`."""

    languages: Languages

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        return [endpoints.post("language", self.choose, on_app_hosts=True)]

    async def choose(self, request: OwnRequest) -> Reply:
        """Store the choice in a cookie and return to the page of the form."""
        code = request.fields.get("language", "")
        if code not in self.languages:
            return Reply(Failure(Problem.BAD_INPUT, cause="a language that is not offered"))
        back = return_to.same_origin_path(request.fields.get("to")) or request.tenant.home
        return Reply(Redirect(back), cookies=(cookies.language(request.tenant, code),))
