"""A lost phone where an app is required and the user's only method."""

import pytest

from tests.fixtures.administrator import admin_code
from tests.fixtures.phone import first_app, next_step, scan
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


@pytest.mark.row("CC-08")
async def test_a_user_who_lost_their_only_phone_enrols_a_new_one_after_an_administrators_code(app_site: Site) -> None:
    app_site.settings.two_factor["adminCodes"] = True
    app_site.change()
    user = app_site.user()
    async with app_site.person() as agent:
        lost = await first_app(app_site, agent, user)
    async with app_site.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=await admin_code(app_site, user))).step == "done"
        page = await again.page("/-/account")
        assert "Move to a new phone:" in page
        assert "Turn off:" not in page
        assert (await again.act("enrol", "totp")).step == "verify"
        shown = await again.do("verify", code=await admin_code(app_site, user))  # the code of the sign-in is used up
        phone = await scan(app_site, shown)
        assert (await again.do("register", code=phone.code())).step == "done"
    next_step(app_site)
    async with app_site.person() as later:
        await later.password(user.username, user.password)
        assert (await later.do("verify", code=lost.code())).problem == "wrong-code"
        assert (await later.do("verify", code=phone.code())).step == "done"
