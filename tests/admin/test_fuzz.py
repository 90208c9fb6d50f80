"""The API under schemathesis: no failure of the gateway, and no answer that its description does not name."""

import asyncio
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fixtures.api_site import TOKEN, ApiSite

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("EXAMPLES") or 2)


def fuzz(base: str, token: str, description: dict[str, Any]) -> set[int]:
    """Calls every operation with made-up input; returns the statuses of all answers."""
    schema, statuses = schemathesis.openapi.from_dict(description), set[int]()
    headers = {"Authorization": f"Bearer {token}"}
    for operation in [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]:
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: Any) -> None:
                answer = case.call(base_url=f"{base}/-/api/v1", headers=headers)
                statuses.add(answer.status_code)
                case.validate_response(answer, checks=CHECKS)

            call()
    return statuses


@pytest.mark.row("GW-16")
@pytest.mark.slow
@pytest.mark.parametrize("caller", ["operator", "program"])
async def test_made_up_calls_get_documented_answers_and_never_a_failure(api_site: ApiSite, caller: str) -> None:
    operator = caller == "operator"
    base, token = (api_site.operations, TOKEN) if operator else (api_site.public, await api_site.token())
    async with api_site.http.get(f"{base}/-/api/openapi.json") as answer:
        description = await answer.json()
    statuses = await asyncio.to_thread(fuzz, base, token, description)
    assert {200 if operator else 403, 404} <= statuses
