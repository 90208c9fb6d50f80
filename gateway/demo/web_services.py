"""Three XML web services of the demo's bank, as a tenant of preset genesys has them: they make and check codes.

The codes go to the inbox of the demo. Anna has no verified contact, so her login ends at the page of a named path.
"""

from collections.abc import Mapping
from html import escape
from xml.etree.ElementTree import Element, SubElement, tostring

from aiohttp import web

from gateway.demo.inbox import Inbox
from gateway.demo.loopback import loopback_only
from gateway.domain.ports import Random
from gateway.second_factor.factors.message_code import random_digits

HOST, NAME = "genesys.localhost", "Example Bank"
CHECK, SEND, CODE = "checkVerifiedContactMethods", "sendAuthenticationCode", "codeAuthentication"
DIGITS = 6
CUSTOMERS: Mapping[str, Mapping[str, str]] = {
    "ben": {"email": "ben@genesys.example.com", "SMS": "+12025550101"},
    "sara": {"email": "sara@genesys.example.com"},
    "adam": {"SMS": "+12025550103"},
}
"""The verified contact methods of each user."""


class WebServices:
    """The services. A code works once."""

    def __init__(self, inbox: Inbox, random: Random) -> None:
        self._inbox = inbox
        self._random = random
        self._codes: dict[str, str] = {}

    def application(self) -> web.Application:
        """Each service at its name, by POST with a form."""
        app = web.Application(middlewares=[loopback_only])
        app.add_routes(
            [web.post(f"/{CHECK}", self._check), web.post(f"/{SEND}", self._send), web.post(f"/{CODE}", self._code)]
        )
        return app

    async def _check(self, request: web.Request) -> web.Response:
        customer = str((await request.post()).get("customer", ""))
        found = CUSTOMERS.get(customer)
        return _answer(CHECK, "success" if found else "not found", found)

    async def _send(self, request: web.Request) -> web.Response:
        form = await request.post()
        customer, method = str(form.get("customer", "")), str(form.get("TwoFactorAuthSelectedMethod", ""))
        to = {name.casefold(): value for name, value in CUSTOMERS.get(customer, {}).items()}.get(method.casefold())
        if to is None:
            return _answer(SEND, "error")
        code = self._codes[customer] = random_digits(DIGITS, self._random)
        text = f"Your code for {NAME}:\n\n{code}\n"
        if method == "Email":
            self._inbox.keep_mail(to, f"Your code for {NAME}", text, NAME, f"<pre>{escape(text)}</pre>")
        else:
            self._inbox.keep_text(to, f"Your code for {NAME} is {code}.\n\n@{HOST} #{code}")
        return _answer(SEND, "success")

    async def _code(self, request: web.Request) -> web.Response:
        form = await request.post()
        customer, entry = str(form.get("customer", "")), form.get("authCode_nbest1")
        if entry != self._codes.get(customer, ""):
            return _answer(CODE, "incorrect code")
        del self._codes[customer]
        return _answer(CODE, "success")


def _answer(root: str, status: str, methods: Mapping[str, str] | None = None) -> web.Response:
    tree = Element(root)
    SubElement(tree, "status").text = status
    if methods:
        listed = SubElement(tree, "methods")
        for name, value in methods.items():
            SubElement(listed, "method", {"name": name, "value": value})
    return web.Response(body=tostring(tree, encoding="utf-8"), content_type="text/xml")
