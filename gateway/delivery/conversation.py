"""Shows an operator what the gateway and a server say to each other while a test message is sent.

Each line that the gateway writes begins with `>`, each line of the server with `<`. Secrets are masked in every
spelling in which a message can contain them.
"""

import base64
import json
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus
from xml.sax import saxutils as xml

from gateway.domain.texts import visible
from gateway.observe.redaction import DOTS

MOST = 8_000
"""Characters shown of one message; of a longer one the number of the rest."""


class Conversation:
    """Writes lines by `say`; `secrets` are masked in all of them."""

    def __init__(self, say: Callable[[str], None], *secrets: str) -> None:
        self._say = say
        self._secrets: list[str] = []
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Mask these texts from now on."""
        for secret in filter(None, secrets):
            self._secrets += (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), escape(secret))
            self._secrets += (json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode())
            self._secrets.append(xml.escape(secret, {'"': "&quot;", "'": "&apos;"}))
        self._secrets.sort(key=len, reverse=True)  # a secret may contain a shorter one

    def note(self, text: str) -> None:
        """A remark of the gateway, for example which server it connects to."""
        self._write("", text)

    def sent(self, text: str) -> None:
        """What the gateway sends."""
        self._write("> ", text)

    def received(self, text: str) -> None:
        """What the server answers."""
        self._write("< ", text)

    def clean(self, text: str) -> str:
        """`text` without the secrets, on one line."""
        return visible(self._masked(text))

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, DOTS)
        return text

    def _write(self, mark: str, text: str) -> None:
        text = self._masked(text)
        for line in text[:MOST].splitlines() or [""]:
            self._say(mark + visible(line))
        if (cut := len(text) - MOST) > 0:
            self._say(f"{mark}… ({cut} more characters)")
