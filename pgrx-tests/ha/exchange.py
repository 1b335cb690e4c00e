"""The client's side of SCRAM-SHA-256 against the two calls, with the application's users and with roles."""

import functools
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

START = {
    "account": "SELECT server_first, state, error FROM scram.handshake_start(%s,"
               " (SELECT secret FROM account WHERE name = %s))",
    "role": "SELECT server_first, state, error FROM scram.role_handshake_start(%s, %s)",
}
FINISH = {
    "account": "SELECT accepted, server_final, error FROM scram.handshake_finish(%s, %s,"
               " (SELECT secret FROM account WHERE name = %s))",
    "role": "SELECT accepted, server_final, error FROM scram.role_handshake_finish(%s, %s)",
}
HEADER = "n,,"


class Violation(Exception):
    """An answer that no server may give."""


@functools.cache
def salted_password(password: str, salt: bytes, count: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, count)


def mac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")


@dataclass
class Exchange:
    """One login: start and finish may each be called again, on any server that has the cluster's data."""

    kind: str
    user: str
    password: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    state: bytes | None = None
    final: str | None = None
    server_signature: bytes | None = None

    def start(self, session) -> None:
        bare = f"n={self.user},r={self.nonce}"
        server_first, self.state, error = session.execute(START[self.kind], [HEADER + bare, self.user]).fetchone()
        if error is not None:
            raise Violation(f"start: {error}")
        values = dict(part.split("=", 1) for part in server_first.split(","))
        if not values["r"].startswith(self.nonce):
            raise Violation("the server's nonce does not begin with the client's")
        salted = salted_password(self.password, b64decode(values["s"]), int(values["i"]))
        without_proof = f"c={b64encode(HEADER.encode()).decode()},r={values['r']}"
        message = f"{bare},{server_first},{without_proof}"
        key = mac(salted, "Client Key")
        signature = mac(hashlib.sha256(key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.final = f"{without_proof},p={b64encode(proof).decode()}"
        self.server_signature = mac(mac(salted, "Server Key"), message)

    def finish(self, session) -> bool:
        """Whether the server accepts; if it does, it must prove that it has the verifier."""
        parameters = [self.state, self.final, *([self.user] if self.kind == "account" else [])]
        accepted, server_final, error = session.execute(FINISH[self.kind], parameters).fetchone()
        if accepted:
            if server_final != "v=" + b64encode(self.server_signature).decode():
                raise Violation("accepted with another ServerSignature")
        elif error != "invalid-proof":
            raise Violation(f"finish: {error}")
        return accepted
