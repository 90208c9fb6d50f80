"""A program that signs in: every answer of a login has the documented fields."""

from typing import Any

from tests.fixtures.person import Answer, code_for, wrong
from tests.fixtures.site import Site
from tests.journeys.test_sessions import in_a_step_up

ADDRESS = "program@example.com"
FIELDS: dict[str, tuple[type, ...]] = {
    "step": (str,),
    "purpose": (str,),
    "problem": (dict, type(None)),
    "factor": (str, type(None)),
    "sent_to": (str, type(None)),
    "digits": (int,),
    "expires_in": (int, type(None)),
    "resend_in": (int, type(None)),
    "attempts_left": (int, type(None)),
    "methods": (list,),
    "csrf": (str,),
    "to": (str,),
}


def odd(answer: Answer) -> dict[str, Any]:
    """Returns the differences of an answer from the documentation."""
    found = {name: answer.body.get(name) for name, kinds in FIELDS.items() if type(answer.body.get(name)) not in kinds}
    problem = answer.body.get("problem")
    if problem and set(problem) != {"code", "text", "retry_after", "reference"}:
        found["problem"] = problem
    if problem and answer.headers.get("Retry-After") != (
        str(problem["retry_after"]) if problem["retry_after"] else None
    ):
        found["Retry-After"] = answer.headers.get("Retry-After")
    return found


async def test_every_answer_of_a_login_has_the_documented_fields_types_and_status(
    light_site: Site,
) -> None:
    user, said = light_site.user(email=None), []
    async with light_site.person() as agent:
        said.append(await agent.look())
        said.append(await agent.password(user.username, "wrong"))
        said.append(await agent.password(user.username, user.password))
        said.append(await agent.do("verify", code="123456"))
        said.append(await agent.do("register", address="none"))
        said.append(await agent.do("register", address=ADDRESS))
        said.append(await agent.do("confirm", "send"))
        code = await code_for(light_site.mail, ADDRESS)
        said.append(await agent.do("verify", code=wrong(code)))
        said.append(await agent.do("verify", "resend"))
        said.append(await agent.do("verify", code=code))
    assert [odd(answer) for answer in said] == [{}] * len(said)
    assert [(answer.status, answer.step) for answer in said] == [
        (200, "password"),
        (401, "password"),
        (200, "register"),
        (409, "register"),
        (422, "register"),
        (200, "confirm"),
        (200, "verify"),
        (422, "verify"),
        (429, "verify"),
        (200, "done"),
    ]
    assert said[-1].body["location"] == agent.target


async def test_a_program_with_a_replaced_cookie_gets_the_password_step_without_a_redirect(light_site: Site) -> None:
    user = light_site.user()
    async with light_site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        replaced = agent.cookie("gateway-login") or ""
        assert (await agent.do("verify", code=await code_for(light_site.mail, ADDRESS))).step == "done"
        agent.set_cookie("gateway-login", replaced)
        found = await agent.look()
    assert (found.status, found.body.get("step")) == (200, "password")


async def test_a_program_that_cancels_a_step_up_gets_data_without_a_redirect(light_site: Site) -> None:
    async with light_site.person() as agent:
        await in_a_step_up(light_site, agent)
        cancelled = await agent.do("register", "cancel")
    assert (cancelled.status, cancelled.step) == (200, "password")


async def test_a_program_that_requests_arabic_gets_arabic_texts(light_site: Site) -> None:
    async with light_site.person(always={"Accept-Language": "ar"}) as agent:
        refused = await agent.password("nobody", "wrong")
    assert any("\u0600" <= letter <= "\u06ff" for letter in refused.body["problem"]["text"])
