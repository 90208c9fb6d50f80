"""Tests of enrolment progress and of the audit log."""

from pathlib import Path

import pytest

from tests.admin.administrator import Administrator, Shown
from tests.fixtures.site import Site

pytestmark = pytest.mark.row("GW-16")


async def read(sara: Administrator, path: str) -> Shown:
    """Returns the page once the gateway has read all users."""
    page = await sara.open(path)
    for _ in range(500):
        if "still reading" not in page.text:
            return page
        page = await sara.open(path)
    raise AssertionError("the gateway reads for ever")


@pytest.mark.row("SI-16")
async def test_the_users_without_a_method_or_an_address_are_listed_and_counted(
    admin_site: Site, sara: Administrator
) -> None:
    new, without = admin_site.user(), admin_site.user(email=None)
    page = await read(sara, "/-/admin/enrolment")
    assert f"/-/admin/users/{new.id}" in page.text or 'rel="next"' in page.text
    assert "users have set up two-step sign-in" in page.text
    listed = await read(sara, "/-/admin/enrolment?list=no-email")
    assert f"/-/admin/users/{without.id}" in listed.text
    assert f"/-/admin/users/{sara.user.id}" not in listed.text


async def test_a_disabled_user_is_in_no_list(admin_site: Site, sara: Administrator) -> None:
    gone = admin_site.user(email=None, enabled=False)
    assert f"/-/admin/users/{gone.id}" not in (await read(sara, "/-/admin/enrolment?list=no-email")).text


async def test_without_an_audit_file_the_page_says_so(sara: Administrator) -> None:
    assert "There is no audit file to read." in (await sara.open("/-/admin/events")).text


async def test_an_event_is_found_by_the_reference_that_a_user_reads_out(admin_site: Site, sara: Administrator) -> None:
    file = _with_file(admin_site)
    file.write_text(
        "\n".join(
            f'{{"at": "2099-01-01T00:00:00Z", "event": "code_rejected", "tenant": "{tenant}", "username": "{name}",'
            f' "reference": "{reference}"}}'
            for tenant, name, reference in (
                ("expertflow", "anna", "K7QM4TZP"),
                ("expertflow", "ben", "A7QM4TZP"),
                ("another", "carla", "K7QM4TZP"),
            )
        )
    )
    page = await sara.open("/-/admin/events?reference=k7qm-4tzp")
    assert [name in page.text for name in ("anna", "ben", "carla")] == [True, False, False]


@pytest.mark.attack("F32")
async def test_events_of_another_tenant_are_never_shown(admin_site: Site, sara: Administrator) -> None:
    file = _with_file(admin_site)
    file.write_text('{"at": "2099-01-01T00:00:00Z", "event": "logout", "tenant": "another", "username": "carla"}\n')
    for query in ("", "?user=carla", "?event=logout&days=90"):
        assert "carla</bdi>" not in (await sara.open(f"/-/admin/events{query}")).text


def _with_file(site: Site) -> Path:
    """Names an audit file in the settings in force."""
    file = site.settings.path / "audit.log"
    site.settings.gateway["audit_file"] = str(file)
    site.change()
    return file
