"""Tests of the problems in `gateway.domain.problem` as `gateway.rendering.problem_view` shows them."""

from datetime import UTC
from http import HTTPStatus

import pytest

from gateway.domain.problem import Problem, ProblemText, Tone
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.problem_view import problem_view
from tests.fixtures.clock import START

LANGUAGES = load_languages(data_root() / "locales", ("en", "ar", "ur"), UTC)
ENGLISH = LANGUAGES.get("en")


def test_every_problem_has_one_code_and_one_text() -> None:
    assert len(Problem) == len(Problem.__members__)
    for problem in Problem:
        assert Problem(problem.value) is problem
        assert isinstance(problem.shown_as, ProblemText)


@pytest.mark.parametrize("problem", Problem, ids=lambda p: p.value)
def test_every_problem_says_what_happened_and_what_to_do_next(problem: Problem) -> None:
    view = problem_view(problem, ENGLISH, None, START)
    assert view.title
    assert view.text
    assert view.next
    assert view.text.endswith(".")
    assert HTTPStatus(view.status)


@pytest.mark.row("EF-18")
def test_invalid_expired_cooldown_and_limit_problems_have_distinct_texts() -> None:
    four = (Problem.WRONG_CODE, Problem.CODE_EXPIRED, Problem.WAIT, Problem.LIMIT_EXCEEDED)
    assert len({problem_view(p, ENGLISH, None, START).text for p in four}) == len(four)


@pytest.mark.row("EF-18")
@pytest.mark.row("GW-05")
@pytest.mark.parametrize("word", ["unknown", "exist", "registered", "disabled", "not found"])
def test_no_text_before_a_correct_password_discloses_whether_a_user_or_address_exists(word: str) -> None:
    for problem in (Problem.WRONG_PASSWORD, Problem.LOCKED, Problem.WAIT, Problem.TOO_MANY_LOGINS, Problem.BAD_ADDRESS):
        view = problem_view(problem, ENGLISH, None, START)
        assert word not in f"{view.title} {view.text} {view.next}".lower()


def test_each_problem_has_its_documented_status() -> None:
    wanted = {
        Problem.WRONG_PASSWORD: 401,
        Problem.WRONG_CODE: 422,
        Problem.CODE_EXPIRED: 422,
        Problem.BAD_INPUT: 422,
        Problem.OUT_OF_ORDER: 409,
        Problem.WAIT: 429,
        Problem.LOCKED: 429,
        Problem.SIGN_IN_UNAVAILABLE: 503,
        Problem.UNKNOWN_HOST: 421,
        Problem.HEADERS_TOO_LARGE: 431,
    }
    assert {problem: problem.shown_as.status for problem in wanted} == wanted


def test_problems_with_a_wait_have_status_202_or_429_and_stopping_ones_403_421_or_503() -> None:
    assert {p.shown_as.status for p in Problem if p.shown_as.tone is Tone.WAIT} == {202, 429}
    assert {p.shown_as.status for p in Problem if p.shown_as.tone is Tone.STOP} <= {403, 421, 503}


@pytest.mark.row("EF-18")
def test_a_known_wait_is_shown_in_words_and_as_local_time() -> None:
    view = problem_view(Problem.LOCKED, ENGLISH, START + 299.5, START, "ABCD2345")
    assert view.retry_after == 300
    assert view.wait == "5 minutes"
    assert view.next == "You can try again in 5 minutes, at 08:04 (UTC)."
    assert view.retry_time == "2027-01-15T08:04:59+00:00"


def test_a_wait_that_is_over_is_not_shown() -> None:
    view = problem_view(Problem.WAIT, ENGLISH, START, START)
    assert view.retry_after is None
    assert view.retry_at == ""


@pytest.mark.row("SI-10")
def test_a_used_app_code_has_a_countdown_to_the_next_code_and_then_asks_for_it() -> None:
    view = problem_view(Problem.NEXT_CODE, ENGLISH, START + 23, START)
    assert (view.retry_after, view.next) == (23, "Your app shows the next one in 23 seconds.")
    assert view.over == "Enter the code your app shows now."


@pytest.mark.row("GW-30")
def test_the_json_of_a_problem_contains_code_text_wait_and_reference() -> None:
    view = problem_view(Problem.WAIT, ENGLISH, START + 60, START, "ABCD2345")
    body = view.as_json()
    assert body.keys() == {"code", "text", "retry_after", "reference"}
    assert (body["code"], body["retry_after"], body["reference"]) == ("wait", 60, "ABCD2345")


@pytest.mark.row("EF-14")
@pytest.mark.row("EF-18")
@pytest.mark.parametrize(
    ("problem", "word"),
    [
        (Problem.CODE_EXPIRED, "expired"),
        (Problem.WRONG_CODE, "didn't work"),
        (Problem.LIMIT_EXCEEDED, "too many tries"),
    ],
)
def test_the_json_text_and_the_title_of_the_page_are_the_same(problem: Problem, word: str) -> None:
    assert word in problem_view(problem, ENGLISH, None, START).as_json()["text"]


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("problem", Problem, ids=lambda p: p.value)
@pytest.mark.parametrize("code", ["ar", "ur"])
def test_every_problem_is_translated_into_arabic_and_urdu(problem: Problem, code: str) -> None:
    view = problem_view(problem, LANGUAGES.get(code), START + 60, START)
    for text in (view.title, view.text, view.next):
        assert any("\u0600" <= c <= "\u06ff" for c in text)
