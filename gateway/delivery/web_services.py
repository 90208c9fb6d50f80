"""Calls the three XML web services of a tenant.

The result of a call is a value: an `XmlAnswer`, or `NoAnswer` with a reason for the operator. The gateway logs what was
wrong with an answer and never the answer itself.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

import structlog
from yarl import URL

from gateway.delivery import xml_answers
from gateway.delivery.http_calls import HttpCall, HttpCalls, NoAnswer
from gateway.delivery.xml_answers import NotAnAnswer, XmlAnswer
from gateway.domain.channel import TlsSettings
from gateway.domain.sms_gateway import HttpMethod
from gateway.domain.user import User
from gateway.domain.web_services import WebService, WebServices

log = structlog.get_logger("delivery.web_services")
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_XML = ("Accept", "application/xml, text/xml")
CHECK, SEND, CODE = "checkVerifiedContactMethods", "sendAuthenticationCode", "codeAuthentication"
"""The names of the services, which are the root elements of their answers."""


class WebServiceCalls:
    """The services of every channel; which one is meant is an argument of each call."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def check(self, services: WebServices, user: User) -> XmlAnswer | NoAnswer:
        """The verified contact methods of `user`."""
        return await self._ask(services, services.check, CHECK, user, [])

    async def send(self, services: WebServices, user: User, method: str) -> XmlAnswer | NoAnswer:
        """Have a code made and sent by `method`."""
        if services.send is None:
            return NoAnswer("no service sends codes: web_services.send is missing")
        return await self._ask(services, services.send, SEND, user, [(services.method_parameter, method)])

    async def code(self, services: WebServices, user: User, code: str) -> XmlAnswer | NoAnswer:
        """Have `code` checked."""
        if services.code is None:
            return NoAnswer("no service checks codes: web_services.code is missing")
        return await self._ask(services, services.code, CODE, user, [(services.code_parameter, code)])

    async def _ask(
        self, services: WebServices, service: WebService, root: str, user: User, more: Sequence[tuple[str, str]]
    ) -> XmlAnswer | NoAnswer:
        customer = service.customer(user)
        if not customer:
            return NoAnswer(f"the user has no attribute {service.customer_attribute}")
        call = _call(services, service, [(service.customer_parameter, customer), *more])
        answer = await self._calls.send(call)
        if isinstance(answer, NoAnswer):
            return answer
        try:
            if answer.status != 200:
                raise NotAnAnswer(f"its status is {answer.status}")
            return xml_answers.read(answer.body, root)
        except NotAnAnswer as error:
            server = str(URL(call.url, encoded=True).origin())
            log.warning("answer_not_understood", server=server, service=root, why=str(error))
            return NoAnswer(str(error), unknown=True)


def _call(services: WebServices, service: WebService, parameters: Sequence[tuple[str, str]]) -> HttpCall:
    url = URL(service.url(services.live), encoded=True)
    tls = services.tls or TlsSettings()
    if service.method is HttpMethod.GET:
        target = str(url.extend_query(list(parameters)))
        return HttpCall("GET", target, services.timeout, (_XML,), tls=tls)
    body = urlencode(parameters).encode()
    return HttpCall(service.method.value, str(url), services.timeout, (_XML, _FORM), body, tls=tls)
