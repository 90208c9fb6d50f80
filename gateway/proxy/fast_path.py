"""Passes a plain request of a signed-in user to its app without aiohttp's request, tasks or timers.

`FastConnection.take` looks at one whole head, and at how its body is framed. It takes it if the request is plain, its
session is known and the decision is "forward". Any other head, also one that must be rejected, it leaves to aiohttp's
application. Both ways decide by the same functions (`request_kinds`). A request that fails before the browser got a
byte is handed over with its failure, and the application answers with a problem page.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.domain.configuration import Configuration
from gateway.domain.ports import Clock, Random
from gateway.domain.session import Session
from gateway.domain.tasks import BackgroundTasks
from gateway.proxy import headers
from gateway.proxy.answers import PlainAnswer
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.fast_forward_auth import QuestionReader, Questions
from gateway.proxy.forward import REPEATABLE, Failed
from gateway.proxy.head_lines import AnswerLines, RequestLines
from gateway.proxy.head_reader import Cookies, HeadReader
from gateway.proxy.request_body import BadBody, RequestBody
from gateway.proxy.request_kinds import WITH_BODY, RequestKinds, RoutedKind
from gateway.proxy.session_stream import OpenStreams, watch_admission
from gateway.proxy.upstream_connection import AppError, NoConnection, TooSlow, UpstreamConnection, UpstreamResponse
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.sessions.sessions import Sessions
from gateway.web import cookies
from gateway.web.cookies import TooLarge
from gateway.web.middleware import ID_BYTES
from gateway.web.request_check import listed

_NEVER = float("inf")
_REQUEST_ID = b"X-Request-ID: "
TAKEN_BEFORE_LARGE = 2**18
"""Bytes of an answer that a client has taken before the rest is read in larger parts."""
_IDS = 256
"""Request ids drawn at once: a call of the system for each would cost more than the id."""


class FastPath:
    """What the fast paths of all connections share."""

    def __init__(
        self,
        *,
        configuration: Callable[[], Configuration],
        sessions: Sessions,
        pool: UpstreamPool,
        streams: OpenStreams,
        clock: Clock,
        random: Random,
        tasks: BackgroundTasks,
    ) -> None:
        self._configuration = configuration
        self._pool = pool
        self.sessions = sessions
        self.streams = streams
        self.clock = clock
        self._random = random
        self._ids: list[bytes] = []
        self.tasks = tasks
        self.lines = RequestLines()
        self.deadlines = Deadlines()
        self._answer_lines = AnswerLines()
        self._kinds: RequestKinds | None = None
        self.questions: Questions | None = None
        """Of another proxy, under the same configuration as `kinds`."""
        sessions.on_end(self._cut, self._live)

    def kinds(self) -> RequestKinds:
        """The kinds of requests under the configuration in force."""
        configuration = self._configuration()
        if self._kinds is None or self._kinds.configuration is not configuration:
            self._kinds = RequestKinds(configuration, self._pool, self._answer_lines)
            self.questions = Questions.under(self._kinds)
        return self._kinds

    def new_request_id(self) -> bytes:
        """A random id for one request."""
        if not self._ids:
            drawn = self._random.token_bytes(ID_BYTES * _IDS)
            self._ids = [drawn[at : at + ID_BYTES].hex().encode() for at in range(0, len(drawn), ID_BYTES)]
        return self._ids.pop()

    def _cut(self, session_id: str) -> None:
        """Cut what is under way of a session that has ended."""
        for exchange in self._under_way():
            if exchange.session is not None and exchange.session.id == session_id:
                exchange.cut()

    def _live(self) -> list[str]:
        return [exchange.session.id for exchange in self._under_way() if exchange.session is not None]

    def _under_way(self) -> "tuple[FastConnection, ...]":
        return cast("tuple[FastConnection, ...]", self.deadlines.under_way)


class FastConnection:
    """The fast path of one client connection: one request after the other, each with its answer.

    `answered` is called after an answer, with True if the connection ends now. `hand_over` is called with a head that
    was taken and that aiohttp's application must answer after all; where a part of its body is gone, with the head of
    the rest, and the body. `wants_body` is called when `takes_body` has become true.
    """

    def __init__(
        self,
        path: FastPath,
        transport: asyncio.Transport,
        peer: str | None,
        *,
        answered: Callable[[bool], None],
        hand_over: Callable[[bytes, RequestBody | None, Failed | None], None],
        wants_body: Callable[[], None],
    ) -> None:
        self._path = path
        self._transport = transport
        self._peer = peer
        self._reads = HeadReader(path.lines, peer)
        self._asks: QuestionReader | None = None
        self._answered = answered
        self._hand_over = hand_over
        self._wants_body = wants_body
        self.ending = False
        """Whether the process ends: the connection closes after this answer."""
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self.deadline = _NEVER
        self.session: Session | None = None
        """That of the request under way."""
        self._under_way = False
        # ---- the exchange under way
        self._routed: RoutedKind | None = None
        self._head = b""
        self._body: RequestBody | None = None
        self._wire: UpstreamConnection | None = None
        self._kept = False
        self._request_id = b""
        self._renewed = b""
        self._begun = False
        self._ended = False
        self._left = 0
        self._large_below = 0
        self._chunked = False
        self._keeps_app = False
        self._refuses = False
        """Whether the app ends its connection before it has taken the whole body."""
        self._ends_at = _NEVER
        self._between = _NEVER
        self._unwatch: Callable[[], None] | None = None

    # ---- the request

    def take(self, head: bytes, body: RequestBody | None = None) -> bool:
        """Take a request; False: it is not for the fast path, and nothing has happened.

        `body`: how the connection frames the body that follows; None: nothing follows.
        """
        reads, kinds, questions = self._reads, self._path.kinds(), self._path.questions
        if questions is not None and questions.may_be(head):
            return body is None and self._take_question(questions, head)
        if not reads.read(kinds, head) or not self._takes_body(body):
            return False
        self._head, self._routed, self._body = head, reads.routed, body
        given = reads.cookies
        session = self._path.sessions.held(given.tenant, given.place)
        return self._ask(given, self._begin) if session is None else self._begin(session)

    def _takes_body(self, body: RequestBody | None) -> bool:
        """Whether the head declares the body that the connection will pass, and the app takes one of its size."""
        reads = self._reads
        if body is None:
            return reads.length is None and not reads.chunked
        limit = reads.routed.route.max_body
        alike = reads.method in WITH_BODY and (reads.chunked, reads.length) == (body.length is None, body.length)
        return alike and (limit is None or (body.length is not None and body.length <= limit))

    def _take_question(self, questions: Questions, head: bytes) -> bool:
        """Take a question of another proxy, which has no body either."""
        reads = self._asks = self._asks or QuestionReader(self._path.lines, self._peer)
        if not reads.read(questions, head):
            return False
        session = self._path.sessions.held(reads.cookies.tenant, reads.cookies.place)
        if session is not None:
            return self._say_yes(session)
        self._head = head
        return self._ask(reads.cookies, self._say_yes)

    def _say_yes(self, session: Session) -> bool:
        """Answer a question; False: the user may not make the request."""
        reads, path, questions = self._asks, self._path, self._path.questions
        lines = reads.yes(session) if reads is not None else None
        if reads is None or lines is None or questions is None:
            return False
        closes = reads.closes or self.ending
        own = (
            reads.request_id or path.new_request_id(),
            b"\r\nContent-Length: 0\r\n",
            questions.date(path.clock.now()),
            b"Connection: close\r\n\r\n" if closes else b"\r\n",
        )
        self._transport.write(b"".join((lines, b"X-Request-ID: ", *own)))
        self._loop.call_soon(self._answered, closes)
        return True

    def _ask(self, cookies: Cookies, begin: Callable[[Session], bool]) -> bool:
        """Ask the store for a session of which no copy is here; `begin` takes it."""

        def found(session: Session | None) -> None:
            if not self._under_way:
                return  # the client is gone
            self._under_way = False
            try:
                begun = session is not None and begin(session)
            except BaseException:
                self._transport.abort()
                raise
            if not begun:
                self._give_to_application(None)  # it asks again, and tells the user

        self._under_way = True
        self._path.sessions.ask(cookies.tenant, cookies.place, found)
        return True

    def _begin(self, session: Session) -> bool:
        """Send the request; False: the user may not make it."""
        reads, path = self._reads, self._path
        if not reads.opens(session):
            return False
        routed, now = reads.routed, path.clock.now()
        self._renewed = b""
        if routed.private and reads.cookies.token != session.tokens.access:
            cookie = cookies.token(routed.kind.tenant, session, now)
            if not isinstance(cookie, TooLarge):
                self._renewed = b"Set-Cookie: %b\r\n" % cookie.encode()
        self._request_id = reads.request_id or path.new_request_id()
        self.session, self._under_way, self._begun, self._ended = session, True, False, False
        self._ends_at = self._loop.time() + session.ends_at - now
        wire = routed.app.take_idle()
        if wire is None:
            self._begin_connection(routed)
        else:
            self._kept = True
            self._send(routed, wire)
        return True

    def _begin_connection(self, routed: RoutedKind) -> None:
        """Open a connection to the app; the end of the session is noticed meanwhile."""
        self._kept, self._wire, self.deadline = False, None, self._ends_at
        self._path.deadlines.add(self)
        self._path.tasks.start(self._connect(routed), "connection to an app")

    async def _connect(self, routed: RoutedKind) -> None:
        try:
            wire = await routed.app.connect(routed.route.timeouts.connect)
        except AppError as error:
            if self._under_way:
                self._fail(error)
            return
        except BaseException:
            self._abort()
            raise
        if not self._under_way:
            wire.abort()
            return
        self._send(routed, wire)

    def _send(self, routed: RoutedKind, wire: UpstreamConnection) -> None:
        self._wire = wire
        reads, body, timeouts = self._reads, self._body, routed.route.timeouts
        self._between = timeouts.between_bytes or _NEVER
        deadline, ends_at = self._loop.time() + timeouts.first_byte, self._ends_at
        self.deadline = deadline if deadline < ends_at else ends_at
        self._path.deadlines.add(self)
        wire.begin_for(self, routed.kind.checked.method)
        whole = (
            routed.first,
            reads.target,
            routed.host,
            reads.passed,
            reads.added,
            _REQUEST_ID,
            self._request_id,
            *((routed.end,) if body is None else (b"\r\n", body.framing, b"\r\n", *body.begin())),
        )
        if not wire.send(b"".join(whole)):
            self._lost(wire, NoConnection("connection lost"), sent=False)
        elif body is not None:
            self._body_goes_on()
            self._wants_body()

    # ---- the body of the request

    @property
    def sends_body(self) -> bool:
        """Whether the rest of the body is for `send_body`."""
        return self._under_way and self._body is not None and not self._body.complete

    @property
    def uploads(self) -> bool:
        """Whether a large body is on its way to an app."""
        return self._body is not None and self._body.large

    @property
    def answers(self) -> bool:
        """Whether the app answers already."""
        return self._begun

    @property
    def takes_body(self) -> bool:
        """Whether `send_body` may be called now; else `wants_body` tells when."""
        wire = self._wire
        return self._ended or (wire is not None and wire.takes_more)

    def send_body(self, data: bytes, *, last: bool) -> None:
        """Send the next part of the body to the app. `last`: the body ends with it."""
        body, wire = self._body, self._wire
        assert body is not None  # noqa: S101 - for the type checker
        try:
            parts = body.take(data, last=last)
        except BadBody:
            self._abort()
            return
        if wire is not None:
            wire.send(*parts)  # an app that is gone is noticed by its answer
        if self._ended and last:
            self._finish()
        elif self._under_way:
            self._body_goes_on()

    def _body_goes_on(self) -> None:
        """The time for the app's next step begins: to answer, or to take more of the body."""
        body, wire = self._body, self._wire
        if self._begun or body is None or wire is None or self._routed is None:
            return
        waits = body.complete or not wire.takes_more
        wait = self._loop.time() + self._routed.route.timeouts.first_byte if waits else _NEVER
        self._set_deadline(min(wait, self._ends_at))

    def app_takes(self) -> None:
        """The app takes more of the body."""
        if self.sends_body:
            self._body_goes_on()
            self._wants_body()

    # ---- the answer

    def received(self, data: bytes) -> None:
        """Take bytes of an answer that is read here."""
        if self._begun:
            self._pass(data)
            return
        wire, routed = self._wire, self._routed
        assert wire is not None  # noqa: S101 - for the type checker
        assert routed is not None  # noqa: S101
        answer = routed.answers.read(data)
        if answer is None:
            wire.parse(data)
            if self._wire is wire:
                self.progressed()
        elif answer.rule.usual and self._body is None and len(data) - answer.size == (answer.length or 0):
            self._transport.write(self._whole_head(answer.head, answer.framing, data[answer.size :]))
            wire.end_for_reader(keep_alive=True)
            self._finish()
        else:
            self._answer(answer, data[answer.size :])

    def _answer(self, answer: PlainAnswer, body: bytes) -> None:
        """Send the head of a plain answer, with the part of the body that arrived with it."""
        rule = answer.rule
        self._keeps_app, self._refuses = rule.keep_alive, not rule.keep_alive and self.sends_body
        self._left = answer.length or 0
        self._chunked = False
        self._large_below = self._left - TAKEN_BEFORE_LARGE
        self._begin_answer(events=rule.events)
        self._pass(body, self._whole_head(answer.head, answer.framing))

    def _pass(self, data: bytes, head: bytes = b"") -> None:
        """Send a part of a body whose length is known."""
        left = self._left - len(data)
        if left < 0:
            self._keeps_app, data, left = False, data[: self._left], 0
        self._left = left
        if head or data:
            self._transport.write(head + data)
        wire = self._wire
        assert wire is not None  # noqa: S101 - for the type checker
        if left:
            wire.reads_much = left < self._large_below
            self._wait_for_more()
        else:
            wire.end_for_reader(keep_alive=self._keeps_app)
            self._end_answer()

    def progressed(self) -> None:
        """Take what the parser of the connection has read of an answer that is not plain."""
        wire = self._wire
        if wire is None or self._ended:
            return
        if not self._begun:
            answer = wire.answered
            if answer is None:
                if wire.error is not None:
                    self._lost(wire, wire.error)
                return
            self._answer_parsed(answer)
        if data := wire.taken():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if wire.complete:
            if self._chunked:
                self._transport.write(b"0\r\n\r\n")
            self._end_answer()
        elif wire.error is not None:
            self._abort()
        else:
            if not self._paused:
                wire.release()
            self._wait_for_more()

    def _answer_parsed(self, answer: UpstreamResponse) -> None:
        routed = self._routed
        assert routed is not None  # noqa: S101 - for the type checker
        fields = routed.answer_fields(answer)
        self._chunked = answer.length is None and not answer.empty
        self._refuses = "close" in listed(answer.all("connection")) and self.sends_body
        self._begin_answer(events=headers.is_event_stream(answer.all("content-type")))
        first = f"HTTP/1.1 {answer.status} {answer.reason}\r\n".encode("latin-1")
        framing = b""
        if self._chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif answer.length is not None and answer.status != 204:
            framing = b"Content-Length: %d\r\n" % answer.length
        self._transport.write(self._whole_head(first + headers.field_lines(fields), framing))

    def _whole_head(self, lines: bytes, framing: bytes, body: bytes = b"") -> bytes:
        """The head for the browser, of the lines of the app's answer and the gateway's own, and then `body`."""
        end = b"Connection: close\r\n\r\n" if self._closes else b"\r\n"
        return b"".join((lines, self._renewed, _REQUEST_ID, self._request_id, b"\r\n", framing, end, body))

    def _begin_answer(self, *, events: bool) -> None:
        self._begun = True
        if events:
            self._between = _NEVER
            self._path.streams.add(self.cut)
            session, routed = self.session, self._routed
            if session is not None and routed is not None:
                self._unwatch = watch_admission(self._path.sessions, session, routed.route, self.cut)

    @property
    def _closes(self) -> bool:
        return self.ending or self._refuses or self._reads.closes

    def _wait_for_more(self) -> None:
        """The time for the next part begins, unless the browser has to take the one before it first."""
        wait = _NEVER if self._paused else self._loop.time() + self._between
        self._set_deadline(min(wait, self._ends_at))

    def _set_deadline(self, deadline: float) -> None:
        moved_up = deadline < self.deadline
        self.deadline = deadline
        if moved_up:
            self._path.deadlines.add(self)

    def _end_answer(self) -> None:
        """The answer has been sent; the app may still read the rest of the request's body."""
        if not self.sends_body or self._refuses:
            self._finish()
            return
        self._ended = True
        self._set_deadline(self._ends_at)
        self._wants_body()

    def _finish(self) -> None:
        """The exchange is over."""
        wire, routed = self._wire, self._routed
        closes = self._closes
        self._leave()
        if wire is not None:
            wire.leave()
        if wire is not None and routed is not None:
            routed.app.give_back(wire)
        self._answered(closes)

    def _leave(self) -> None:
        """No request is under way any more."""
        self._path.deadlines.remove(self)
        if self._between == _NEVER:
            self._path.streams.discard(self.cut)
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._under_way, self._wire, self.session, self._head, self._body = False, None, None, b"", None

    # ---- what goes wrong

    def _lost(self, wire: UpstreamConnection, error: AppError, *, sent: bool = True) -> None:
        """The app did not answer: send the request again if its connection was an old one and it may be, else fail."""
        wire.leave()
        wire.abort()
        old = self._kept and not wire.heard and isinstance(error, NoConnection)
        if old and self._routed is not None and (not sent or self._may_be_repeated):
            self._begin_connection(self._routed)
        else:
            self._fail(error)

    @property
    def _may_be_repeated(self) -> bool:
        body = self._body
        return self._reads.method.decode() in REPEATABLE and (body is None or body.may_be_repeated)

    def _fail(self, error: AppError) -> None:
        self._give_to_application(Failed.of(error))

    def _give_to_application(self, failed: Failed | None) -> None:
        head, body = self._head, self._body
        if body is not None:
            head = body.head_of_rest(head) if body.sent else head + body.first
        self._leave()
        self._hand_over(head, body, failed)

    def expire(self, now: float) -> None:
        """The deadline has passed: of the session, of the app's answer, or of its next part."""
        wire = self._wire
        if now >= self._ends_at or self._begun or wire is None:
            self.cut()
            return
        wire.leave()
        wire.abort()
        first_byte = self._routed.route.timeouts.first_byte if self._routed else 0
        waits = "the app has taken nothing for" if self.sends_body else "no answer in"
        self._fail(TooSlow(f"{waits} {first_byte:g} s"))

    def cut(self) -> None:
        """Pass nothing more in either direction."""
        self._abort()

    def _abort(self) -> None:
        """Cut the connection, so that a part is never taken for the whole."""
        self.client_lost()
        self._transport.abort()

    def client_lost(self) -> None:
        """The client is gone."""
        if not self._under_way:
            return
        wire = self._wire
        self._leave()
        if wire is not None:
            wire.leave()
            wire.abort()

    # ---- the pace of the client

    def pause(self) -> None:
        """The client takes nothing more for now: the app has to wait."""
        self._paused = True
        if self._wire is not None:
            self._wire.hold()
            if self._begun:
                self.deadline = self._ends_at

    def resume(self) -> None:
        """The client takes more."""
        self._paused = False
        if self._wire is not None:
            self._wire.release()
            if self._begun:
                self._wait_for_more()
