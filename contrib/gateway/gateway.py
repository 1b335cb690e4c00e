"""A gateway for PostgreSQL clients: authenticates them by scram_ext, and logs in to the server as them.

It knows no password and no verifier. Needs asyncpg.
Usage: gateway.py PORT SERVER_HOST SERVER_PORT [CERTIFICATE.pem]    (certificate and key in one file)
Environment: GATEWAY_DSN, the connection of a role that may execute the two functions below.
"""

import argparse, asyncio, hashlib, hmac, os, re, ssl, struct, sys
from base64 import b64encode
from collections import Counter, defaultdict

import asyncpg

START = """SELECT server_first, state, error FROM scram.role_handshake_start($1, role => $2::text::name, mechanism => $3,
    channel_binding_type => CASE WHEN $4::bytea IS NOT NULL THEN 'tls-server-end-point' END, channel_binding_data => $4)"""
FINISH = "SELECT accepted, server_final, client_key, server_key FROM scram.role_handshake_finish_passthrough($1, $2)"
PROTOCOL_3_0, SSL_REQUEST, GSS_REQUEST = (struct.pack("!I", code) for code in (196608, 80877103, 80877104))
LOGIN_SECONDS, MAX_MESSAGE, MAX_FAILURES, MAX_PARALLEL = 60, 10_000, 20, 8
# By address and user; forgotten every minute. More logins at once than this wait, so that failures are counted in time.
failures, places = Counter(), defaultdict(lambda: asyncio.Semaphore(MAX_PARALLEL))


class Refused(Exception):
    """For the client every reason looks the same, except what the server says after the client has proved who it is."""


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


async def read(stream, has_kind=True):
    kind = await stream.readexactly(1) if has_kind else b""
    (length,) = struct.unpack("!I", await stream.readexactly(4))
    if not 4 <= length <= MAX_MESSAGE:
        raise Refused
    return kind, await stream.readexactly(length - 4)


def text(data):  # SQL has no text for anything else
    decoded = data.decode(errors="replace")
    if "\0" in decoded or "\ufffd" in decoded:
        raise Refused
    return decoded


async def authenticate(reader, writer, peer, binding, pool):
    """The client's side of the exchange; returns ClientKey and ServerKey."""
    mechanisms = ["SCRAM-SHA-256-PLUS"] * (binding is not None) + ["SCRAM-SHA-256"]
    writer.write(message(b"R", struct.pack("!I", 10) + "\0".join([*mechanisms, "", ""]).encode()))
    kind, body = await read(reader)
    mechanism, separator, rest = body.partition(b"\0")
    if kind != b"p" or not separator or text(mechanism) not in mechanisms or len(rest) < 4:
        raise Refused
    first = await pool.fetchrow(START, text(rest[4:]), peer[1], text(mechanism), binding)
    if first["error"]:
        raise Refused
    writer.write(message(b"R", struct.pack("!I", 11) + first["server_first"].encode()))
    _, body = await read(reader)
    last = await pool.fetchrow(FINISH, first["state"], text(body))
    if not last["accepted"]:
        failures[peer] += 1
        raise Refused
    writer.write(message(b"R", struct.pack("!I", 12) + last["server_final"].encode()))
    return last["client_key"], last["server_key"]


async def log_in(reader, writer, parameters, client_key, server_key):
    """Logs in to the server by ClientKey. The server is on this host or in a trusted network: this part has no TLS."""
    writer.write(message(b"", PROTOCOL_3_0 + parameters))
    bare = "n=,r=" + b64encode(os.urandom(18)).decode()
    first = ("n,," + bare).encode()
    kind, body = await read(reader)
    if kind == b"R" and body[:4] == struct.pack("!I", 10):
        writer.write(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        kind, body = await read(reader)
        server_first = text(body[4:])
        nonce = server_first.split(",")[0]
        without_proof = "c=biws," + nonce
        signed = ",".join([bare, server_first, without_proof]).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = b64encode(bytes(a ^ b for a, b in zip(client_key, signature)))
        writer.write(message(b"p", without_proof.encode() + b",p=" + proof))
        kind, body = await read(reader)
        expected = b"v=" + b64encode(hmac.digest(server_key, signed, "sha256"))
        if not nonce.startswith(bare[3:]) or not hmac.compare_digest(body[4:], expected):
            raise Refused
        kind, body = await read(reader)
    if kind != b"R" or body != bytes(4):  # AuthenticationOk
        raise Refused(*[body] * (kind == b"E"))


async def relay(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def serve(reader, writer, gateway):
    user, server = "", None
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            binding, startup = None, SSL_REQUEST
            while startup in (SSL_REQUEST, GSS_REQUEST):
                _, startup = await read(reader, has_kind=False)
                # Nothing that came before TLS may count as sent over it. asyncio has no public name for the buffer.
                if startup == SSL_REQUEST and gateway.tls and binding is None and not reader._buffer:
                    writer.write(b"S")
                    await writer.start_tls(gateway.tls)
                    binding = gateway.binding
                elif startup in (SSL_REQUEST, GSS_REQUEST):
                    writer.write(b"N")
            if not startup.startswith(PROTOCOL_3_0):
                raise Refused
            fields = startup[4:].split(b"\0")
            user = text(dict(zip(fields[::2], fields[1::2])).get(b"user", b""))
            peer = (writer.get_extra_info("peername")[0], user)
            async with places[peer]:
                if failures[peer] >= MAX_FAILURES or len(user.encode()) > 63:  # the server would cut a longer name
                    raise Refused
                keys = await authenticate(reader, writer, peer, binding, gateway.pool)
            server = await asyncio.open_connection(*gateway.server)
            await log_in(*server, startup[4:], *keys)
        writer.write(message(b"R", bytes(4)))
        sides = [asyncio.create_task(relay(*side)) for side in ((reader, server[1]), (server[0], writer))]
        await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
    except Refused as refused:
        error = f'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "{user}"\0\0'
        writer.write(message(b"E", refused.args[0] if refused.args else error.encode()))
    except Exception as error:
        print(f"{type(error).__name__} while a client logged in", file=sys.stderr)
    finally:
        writer.close(), server and server[1].close()


async def main(port, host, server_port, certificate=None):
    gateway = argparse.Namespace(tls=None, binding=None, server=(host, int(server_port)))
    if certificate:
        gateway.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        gateway.tls.load_cert_chain(certificate)
        # For a certificate that is signed with SHA-384 or SHA-512, that hash.
        der = ssl.PEM_cert_to_DER_cert(re.search("-----BEGIN CERT.*?-----END CERT[^\n]*", open(certificate).read(), re.S)[0])
        gateway.binding = hashlib.sha256(der).digest()
    gateway.pool = await asyncpg.create_pool(os.environ["GATEWAY_DSN"], min_size=1, max_size=8)
    gateway.listener = await asyncio.start_server(lambda reader, writer: serve(reader, writer, gateway), "127.0.0.1", int(port))
    while True:
        failures.clear(), places.clear()
        await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
