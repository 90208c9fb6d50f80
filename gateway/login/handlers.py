"""How do the login pages look from outside? URL ↔ flow, HTML and JSON.

GET shows the login's step or redirects to it; POST performs one action and redirects (303), or shows the page again
with the problem and its status. A program asks by `Accept: application/json` and gets the same as data: 200 went on,
401 wrong password, 422 wrong or expired code or bad input, 403 stopped, 409 out of order, 429, 503.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from gateway.domain.policy import Policy
from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.login.flow import Flow, Went
from gateway.login.machine import Login, Step
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.proxy.routing import route_of
from gateway.rendering.languages import Languages
from gateway.rendering.problem_texts import ProblemView, problem_view
from gateway.rendering.step_view import StepView, as_json
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, csrf, protections, return_to
from gateway.web.browser_text import browser_text
from gateway.web.cookies import BrowserSecret, Cookie, TooLarge
from gateway.web.failures import Failures, wants_json
from gateway.web.pages import Pages
from gateway.web.request import CLIENT_ADDRESS, CONFIGURATION, LANGUAGE, REFERENCE, REQUEST_ID, TENANT
