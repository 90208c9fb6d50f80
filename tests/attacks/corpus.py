"""About a hundred raw requests that some server has misread. Data only.

`{auth}` is the place of a session's fields; each field ends in CRLF. A legal request must arrive exactly once, in the
gateway's framing. For every other request any refusal is correct: a 4xx, or a closed connection without an answer.
"""

from dataclasses import dataclass

HOST = "Host: cc.example\r\n"
APP = "/agent-manager/x"


@dataclass(frozen=True)
class Odd:
    """One unusual request; `may_pass` says whether it is legal HTTP."""

    name: str
    raw: str
    may_pass: bool = False

    def bytes(self, auth: str) -> bytes:
        """Returns the request with a session's fields; "" stands for none."""
        return self.raw.replace("{auth}", auth).encode("latin-1")


def _get(target: str, fields: str = "") -> str:
    return f"GET {target} HTTP/1.1\r\n{HOST}{{auth}}{fields}\r\n"


def _post(fields: str, body: str) -> str:
    return f"POST {APP} HTTP/1.1\r\n{HOST}{{auth}}{fields}\r\n{body}"


_CHUNK = "4\r\nabcd\r\n0\r\n\r\n"
_WS = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

LINES = [
    Odd("http 0.9", f"GET {APP}\r\n"),
    Odd("http 1.2", f"GET {APP} HTTP/1.2\r\n{HOST}{{auth}}\r\n"),
    Odd("http 2.0", f"GET {APP} HTTP/2.0\r\n{HOST}{{auth}}\r\n"),
    Odd("http 1.10", f"GET {APP} HTTP/1.10\r\n{HOST}{{auth}}\r\n"),
    Odd("lower case protocol", f"GET {APP} http/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("no protocol", f"GET {APP} \r\n{HOST}{{auth}}\r\n"),
    Odd("http 2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Odd("two blanks", f"GET  {APP}  HTTP/1.1\r\n{HOST}{{auth}}\r\n", may_pass=True),
    Odd("tab for blank", f"GET\t{APP}\tHTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("blank in target", f"GET {APP} y HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("bare line feeds", f"GET {APP} HTTP/1.1\nHost: cc.example\n{{auth}}\n"),
    Odd("bare carriage return", f"GET {APP} HTTP/1.1\rHost: cc.example\r{{auth}}\r"),
    Odd("empty lines first", f"\r\n\r\nGET {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n", may_pass=True),
    Odd("unknown method", f"FOO {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("method in lower case", f"get {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("method with a dot", f"FO.O {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("trace", f"TRACE {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("connect", f"CONNECT cc.example:443 HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("connect to a path", f"CONNECT {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("propfind", f"PROPFIND {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("options of everything", f"OPTIONS * HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("no method", f" {APP} HTTP/1.1\r\n{HOST}{{auth}}\r\n"),
    Odd("nonsense", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
]
TARGETS = [
    Odd(f"target {target[:40]!r}", _get(target))
    for target in (
        f"http://cc.example{APP}",
        f"http://other.test{APP}",
        f"HTTP://cc.example:80{APP}",
        f"//cc.example{APP}",
        f"//other.test{APP}",
        f"{APP}#/b",
        f"{APP}#",
        f"{APP}/../../unified-admin/",
        f"{APP}/..",
        f"{APP}/./y",
        f"{APP}/%2e%2e/y",
        f"{APP}/%2E./y",
        f"{APP}/%252e%252e/y",
        f"{APP}/..;/y",
        f"{APP}/..%2fy",
        f"{APP}/..%5cy",
        f"{APP}\\..\\y",
        f"{APP}%5cy",
        f"{APP}%00",
        f"{APP}%00.css",
        f"{APP}%0d%0aX-Auth-User:%20admin",
        f"{APP}%c0%ae%c0%ae/",
        f"{APP}%ff",
        f"{APP}%zz",
        f"{APP}%",
        f"{APP}//y",
        f"{APP}%2fy",
        "/agent-manager%2fx",
        "/-/../agent-manager/x",
        "/-/login/../../agent-manager/x",
        "/AGENT-MANAGER/x",
        "/agent-managerx",
        f"{APP}\xfc",
        f"{APP}\x7f",
        "agent-manager/x",
        "*",
        "",
        f"/agent-manager/{'a' * 9000}",
        "/agent-manager/agent/login",
        "/agent-manager/AGENT/Login/",
        "/agent-manager/%61gent/login;x",
        "/unified-admin/KeycloakLogin/x",
    )
]
HOSTS = [
    Odd("no host", f"GET {APP} HTTP/1.1\r\n{{auth}}\r\n"),
    Odd("no host in 1.0", f"GET {APP} HTTP/1.0\r\n{{auth}}\r\n"),
    Odd("two hosts", f"GET {APP} HTTP/1.1\r\n{HOST}Host: other.test\r\n{{auth}}\r\n"),
    Odd("the same host twice", f"GET {APP} HTTP/1.1\r\n{HOST}{HOST}{{auth}}\r\n"),
    *(
        Odd(f"host {host!r}", f"GET {APP} HTTP/1.1\r\nHost: {host}\r\n{{auth}}\r\n")
        for host in (
            "",
            "cc.example, other.test",
            "cc.example@other.test",
            "cc.example/x",
            "cc.example other.test",
            "cc.example.",
            "cc.example:",
            "cc.example:x",
            "other.test",
            "127.0.0.1",
            "[::1]",
            "cc.example\x00",
            "sub.cc.example",
            "cc_example",
        )
    ),
    Odd(
        "host in other case with a port", f"GET {APP} HTTP/1.1\r\nHost: CC.Example:8443\r\n{{auth}}\r\n", may_pass=True
    ),
]
FRAMING = [
    *(
        Odd(f"transfer-encoding {coding!r}", _post(f"Transfer-Encoding: {coding}\r\n", _CHUNK))
        for coding in (
            "identity, chunked",
            "gzip, chunked",
            ",chunked",
            "chunked, chunked",
            "chunked, identity",
            "xchunked",
            "identity",
            "chunked\x0b",
            '"chunked"',
            "chunked;x=y",
        )
    ),
    Odd("transfer-encoding in other case", _post("tRANSFER-eNCODING: ChUnKeD\r\n", _CHUNK), may_pass=True),
    Odd("two transfer-encodings", _post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", _CHUNK)),
    Odd("transfer-encoding in 1.0", f"POST {APP} HTTP/1.0\r\n{HOST}{{auth}}Transfer-Encoding: chunked\r\n\r\n{_CHUNK}"),
    Odd("transfer-encoding before a colon and blank", _post("Transfer-Encoding : chunked\r\n", _CHUNK)),
    Odd("length and chunked", _post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", _CHUNK)),
    Odd("chunked and length", _post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", _CHUNK)),
    *(
        Odd(f"content-length {length!r}", _post(f"Content-Length: {length}\r\n", "abcd"))
        for length in ("+4", "-4", "0x4", "4, 4", "4,4", "1_0", "4 4", "", "99999999999999999999", "4\x0b", "four")
    ),
    Odd("two lengths", _post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcde")),
    Odd("the same length twice", _post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd")),
    Odd("obsolete folding", _post("Content-Length: 4\r\nX-Fold: a\r\n b\r\n", "abcd")),
    Odd("folded transfer-encoding", _post("Transfer-Encoding:\r\n chunked\r\n", _CHUNK)),
    Odd("chunk size with a sign", _post("Transfer-Encoding: chunked\r\n", "+4\r\nabcd\r\n0\r\n\r\n"), may_pass=True),
    Odd("chunk size of blanks", _post("Transfer-Encoding: chunked\r\n", "4 \r\nabcd\r\n0\r\n\r\n"), may_pass=True),
    Odd("chunk size that overflows", _post("Transfer-Encoding: chunked\r\n", f"{'f' * 17}\r\nabcd\r\n"), may_pass=True),
    Odd("chunk with a bare line feed", _post("Transfer-Encoding: chunked\r\n", "4\nabcd\r\n0\r\n\r\n"), may_pass=True),
    Odd(
        "long chunk extension",
        _post("Transfer-Encoding: chunked\r\n", f"4;{'x' * 9000}\r\nabcd\r\n0\r\n\r\n"),
        may_pass=True,
    ),
    Odd(
        "trailer that names a user",
        _post("Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n0\r\nX-Auth-User-Id: admin\r\n\r\n"),
        may_pass=True,
    ),
]
FIELDS = [
    *(
        Odd(f"field {line!r}", _get(APP, f"{line}\r\n"))
        for line in (
            "X_Auth_User: admin",
            "X.Auth.User: admin",
            "X Auth User: admin",
            "X-Auth-User : admin",
            ": x",
            "no colon at all",
            "X-Nul: a\x00b",
            "X-High: \xfc",
            "X-Del: \x7f",
            "X(Y): 1",
            "X\xfc: 1",
            "X-Cr: a\rb",
            "Expect: 200-maybe",
        )
    ),
    Odd("two authorizations", _get(APP, "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
    Odd("two origins", _get(APP, "Origin: https://cc.example\r\nOrigin: https://evil.example\r\n")),
    Odd("101 fields", _get(APP, "".join(f"X-{n}: 1\r\n" for n in range(101)))),
    Odd("a field name of 40 KiB", _get(APP, f"X-{'n' * 40960}: 1\r\n")),
    Odd("a field of 40 KiB", _get(APP, f"X-Long: {'v' * 40960}\r\n")),
    Odd("cookies of 40 KiB", _get(APP, f"Cookie: {'c' * 40960}\r\n")),
    Odd("connection names our header", _get(APP, "Connection: X-Auth-User-Id, Authorization\r\n"), may_pass=True),
    Odd(
        "our headers, forged",
        _get(APP, "X-Auth-User-Id: admin\r\nX-AUTH-ROLES: admin\r\nX-Forwarded-User: admin\r\n"),
        may_pass=True,
    ),
    Odd("a bearer of one's own", _get(APP, "Authorization: Bearer forged\r\n"), may_pass=True),
    Odd("basic authorization", _get(APP, "Authorization: Basic YWRtaW46YWRtaW4=\r\n"), may_pass=True),
    Odd("method override", _get(APP, "X-HTTP-Method-Override: DELETE\r\n"), may_pass=True),
    Odd("rewrite headers", _get("/-/nothing", f"X-Original-URL: {APP}\r\nX-Rewrite-URL: {APP}\r\n")),
    Odd(
        "forwarded as another host",
        _get(APP, "X-Forwarded-Host: other.test\r\nForwarded: host=other.test\r\n"),
        may_pass=True,
    ),
]
UPGRADES = [
    Odd("websocket with a body", _get(APP, f"{_WS}Content-Length: 4\r\n").replace("\r\n\r\n", "\r\n\r\nabcd")),
    Odd("websocket with chunks", _get(APP, f"{_WS}Transfer-Encoding: chunked\r\n") + _CHUNK),
    Odd("websocket by post", f"POST {APP} HTTP/1.1\r\n{HOST}{{auth}}{_WS}\r\n"),
    Odd("websocket in 1.0", f"GET {APP} HTTP/1.0\r\n{HOST}{{auth}}{_WS}\r\n"),
    Odd("websocket of version 8", _get(APP, _WS.replace("13", "8"))),
    Odd("websocket without a key", _get(APP, _WS.rpartition("Sec-WebSocket-Key")[0])),
    Odd("websocket with a short key", _get(APP, _WS.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="))),
    Odd("websocket twice", _get(APP, f"{_WS}Upgrade: websocket\r\n")),
    Odd("websocket from a sibling", _get(APP, f"{_WS}Origin: https://evil.cc.example\r\n")),
    Odd("websocket from nowhere", _get(APP, f"{_WS}Origin: null\r\n")),
    Odd(
        "upgrade to h2c",
        _get(APP, "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"),
        may_pass=True,
    ),
    Odd("upgrade to two", _get(APP, "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n"), may_pass=True),
    Odd("upgrade without connection", _get(APP, "Upgrade: websocket\r\n"), may_pass=True),
]
WEBSOCKET = Odd("websocket", _get(APP, f"{_WS}Origin: https://cc.example\r\n"), may_pass=True)

CORPUS = [*LINES, *TARGETS, *HOSTS, *FRAMING, *FIELDS, *UPGRADES]
