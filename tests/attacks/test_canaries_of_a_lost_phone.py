"""Tests that no secret of an app, a backup code, an administrator's code or a new password leaves its place."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pyotp
import pytest

from tests.attacks.test_canaries import RecordedAnswers, dump, places, settings
from tests.fixtures.installation import CHANNEL, replicas
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Person, code_for
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.redis, pytest.mark.slow]
CLOUDCX = {
    "is2FAEnabled": True,
    "preset": "cloudcx",
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}, {"channelType": "APP"}],
}


async def administrators_code(config: Path, username: str) -> str:
    """Returns the code that `efcx-gateway user code` prints for an operator."""
    words = ["user", "code", username, "--tenant", "expertflow", "--config", str(config), "--json"]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await command.communicate()
    return str(json.loads(out)["code"])


@pytest.mark.attack("F18")
@pytest.mark.row("CC-15")
async def test_no_secret_of_a_user_with_a_lost_phone_is_found_in_the_logs_answers_or_store(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> None:
    made = settings(tmp_path, stand_in, mail_server, echo_upstream, redis_url)
    made.tenant["tenantSettings"]["twoFAConfigs"] = CLOUDCX
    user, recorded = stand_in.server.admin.create_user(), RecordedAnswers()
    assert user.email
    stand_in.realms["expertflow"].minimum_length = 12
    refused, new = new_password()[:11], new_password()
    with replicas(made, 1) as (replica,):
        config = replica.log.parent / "gateway.yaml"
        async with Person(replica.base, middlewares=[recorded]) as agent:
            assert (await agent.password(user.username, user.password)).step == "done"
            await agent.begin("enrol", "email")
            assert (await agent.do("password", password=user.password)).step == "register"
            await agent.do("register", address=user.email)
            await agent.do("confirm", "send")
            shown = await agent.do("verify", code=await code_for(mail_server, user.email))
            codes = shown.body["codes"]
            assert (await agent.do("backup-codes")).step == "done"
            assert (await agent.begin("enrol", "totp")).step == "verify"
            proof = await code_for(mail_server, user.email, 2)
            app = (await agent.do("verify", code=proof)).body["secret"]
            store = await dump(redis_url)
            phone = pyotp.TOTP(app)
            assert (await agent.do("register", code=phone.now())).step == "done"
            assert (await agent.begin("show-codes")).step == "verify"
            store += await dump(redis_url)
            before = set(recorded.answers)
            viewed = await agent.do("verify", code=phone.at(int(time.time()) + 30))
            assert (viewed.step, viewed.body["codes"]) == ("done", codes)
            shown_at = set(recorded.answers) - before
            await agent.logout()
            agent.csrf = ""
            stand_in.server.admin.change(user.id, requiredActions=["UPDATE_PASSWORD"])
            before = set(recorded.answers)
            assert len(shown_at) == 1
            assert (await agent.password(user.username, user.password)).step == "verify"
            assert (await agent.do("verify", code=codes[0])).step == "new-password"
            assert (await agent.do("new-password", new_password=refused)).problem == "password-refused"
            assert (await agent.do("new-password", new_password=new)).step == "verify"
            helping = await administrators_code(config, user.username)
            store += await dump(redis_url)
            assert (await agent.do("verify", code=helping)).step == "done"
            store += await dump(redis_url)
        audit = (replica.log.parent / "audit.log").read_bytes()
    assert b"password_changed" in audit
    kept = {"log": replica.log.read_bytes(), "audit": audit, "store": store}
    answers = {name: body for name, body in recorded.answers.items() if name not in before}
    assert answers
    typed = {"new password": new, "refused password": refused, "administrator's code": helping}
    secrets = {"app": app, **typed, **{f"backup code {n}": code for n, code in enumerate(codes)}}
    assert not {name: at for name, secret in secrets.items() if (at := places(secret, {**kept, **answers}))}
    showing = {label for code in codes for label in places(code, recorded.answers)}
    assert shown_at < showing  # the answer to the proof of that act, and the page after the first factor was enrolled
    assert len(showing) == 2
    bare = {name: code.replace("-", "") for name, code in secrets.items() if name.startswith("backup")}
    assert not {name: at for name, code in bare.items() if (at := places(code, {**kept, **answers}))}
