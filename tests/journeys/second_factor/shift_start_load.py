"""The load of a shift start: a relay with a rate, and users who all sign in at once, on the injected clock."""

import asyncio
import heapq
import random
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from gateway.domain.problem import Problem
from gateway.login.responses import asks_again_in
from gateway.login.state_machine import Step
from tests.fixtures.clock import FakeClock
from tests.fixtures.login_harness import Browser, FlowHarness, address_of
from tests.fixtures.ports import free_port

MINUTE = 60.0
RESEND_COOLDOWN = 60.0


@dataclass
class CountingRelay:
    """Accepts a number of mails in any minute, refuses more, and cuts one connection in ten in the middle of a mail.

    It cuts before it has the mail, or after it has read the mail and before it accepts it.
    """

    clock: FakeClock
    most: int = 30
    rng: random.Random = field(default_factory=lambda: random.Random(34))
    taken: list[tuple[float, str, str]] = field(default_factory=list)  # time, recipient, code
    refused: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    port: int = field(default_factory=free_port)
    _last: deque[float] = field(default_factory=deque)
    _open: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listens until the context ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        yield
        server.close()
        for writer in self._open:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        writer.write(b"220 relay\r\n")
        to, cut = "", ""
        while line := (await reader.readline()).decode().strip():
            verb = re.split("[ :]", line.upper())[0]
            if verb == "MAIL":
                cut = self.rng.choice(["MAIL", "RCPT", "DATA", "read"]) if self.rng.random() < 0.1 else ""
            if verb == "RCPT":
                to = line.partition("<")[2].partition(">")[0]
            if verb == cut:
                break
            if verb == "DATA":
                writer.write(b"354 go\r\n")
                text = (await reader.readuntil(b"\r\n.\r\n")).decode()
                if cut:
                    break
                writer.write(self._answer(to, text))
            else:
                writer.write(b"250 OK\r\n")
        self.cuts[cut] += 1
        writer.close()

    def _answer(self, to: str, text: str) -> bytes:
        now = self.clock.now()
        while self._last and self._last[0] <= now - MINUTE:
            self._last.popleft()
        if len(self._last) >= self.most:
            self.refused += 1
            return b"451 4.7.1 too many mails, try again later\r\n"
        self._last.append(now)
        found = re.search(r"(?m)^\s*(\d{4,10})\s*\r?$", text)
        assert found, text
        self.taken.append((now, to, found[1]))
        return b"250 2.0.0 OK\r\n"


@dataclass
class ShiftUser:
    """A user whose browser obeys the page's Refresh; they type the newest code some seconds later."""

    browser: Browser
    begun: float = 0.0
    done: float = 0.0
    queued: bool = False
    failed: int = 0
    lost: int = 0
    problems: Counter[str] = field(default_factory=Counter)


class ShiftStart:
    """All users sign in. Events happen in the order of the clock, without sleeping."""

    def __init__(self, flow_harness: FlowHarness, relay: CountingRelay, *, late: float = 0.03) -> None:
        self.flow_harness, self.relay = flow_harness, relay
        self.people: list[ShiftUser] = []
        self._late = late
        self._rng = random.Random(2)
        self._events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._number = 0

    def arrives(self, name: str, after: float) -> None:
        """Schedules a user who arrives after that number of seconds."""
        person = ShiftUser(self.flow_harness.browser(name))
        self.people.append(person)
        self._then(after, lambda: self._signs_in(person))

    async def run(self) -> None:
        """Runs until no event is left."""
        while self._events:
            at, _, happens = heapq.heappop(self._events)
            self.flow_harness.clock.set(at)
            await happens()

    def _then(self, seconds: float, happens: Callable[[], Awaitable[None]]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.flow_harness.clock.now() + seconds, self._number, happens))

    async def _signs_in(self, person: ShiftUser) -> None:
        person.begun = self.flow_harness.clock.now()
        await person.browser.password()
        self._reads(person)

    async def _reloads(self, person: ShiftUser) -> None:
        twice = self._rng.random() < 0.05  # a second tab of the same browser, at the same time
        other = Browser(self.flow_harness, person.browser.user, tag=person.browser.tag, secret=person.browser.secret)
        await asyncio.gather(person.browser.look(), *([other.look()] if twice else []))
        self._reads(person)

    async def _asks(self, person: ShiftUser) -> None:
        await person.browser.press("send")
        self._reads(person)

    async def _asks_again(self, person: ShiftUser) -> None:
        await person.browser.press("resend")
        self._reads(person)

    async def _types(self, person: ShiftUser) -> None:
        mails = (code for _, to, code in reversed(self.relay.taken) if to == address_of(person.browser.user))
        code = next(mails, None)
        if code is None:  # the relay was cut while it had the mail: the page says that it was sent
            person.lost += 1
            self._then(RESEND_COOLDOWN, lambda: self._asks_again(person))
            return
        result = await person.browser.type(code)
        assert result.step is Step.DONE, result
        person.done = self.flow_harness.clock.now()

    def _reads(self, person: ShiftUser) -> None:
        """Does what the user does on this page."""
        result = person.browser.result
        assert result.step is Step.VERIFY, result
        if result.problem_detail:
            person.problems[result.problem_detail.problem.value] += 1
        if result.login and result.login.verification.challenge:
            self._then(self._rng.uniform(5, 45), lambda: self._types(person))
            return
        if result.problem_detail and result.problem_detail.problem is Problem.SEND_FAILED:
            person.failed += 1
            self._then(self._rng.uniform(2, 10), lambda: self._asks(person))
            return
        seconds = asks_again_in(result, self.flow_harness.clock.now())
        assert seconds is not None, result
        late = self._rng.uniform(0, 60) if self._rng.random() < self._late else self._rng.uniform(0.05, 0.4)
        self._then(seconds + late, lambda: self._reloads(person))
