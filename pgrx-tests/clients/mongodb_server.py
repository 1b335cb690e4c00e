"""MongoDB's protocol up to the login: the extension does the exchange, with the verifiers of the table `mongodb_user`.

Arguments: port on 127.0.0.1, and a connection string of PostgreSQL. The table has `name`, `mechanism` and `secret`.
"""

import contextlib
import socketserver
import struct
import sys

import bson
import psycopg

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
USER = "FROM mongodb_user WHERE 'admin.' || name = %(name)s"
MECHANISMS = f"SELECT mechanism {USER}"
VERIFIER = f"(SELECT secret {USER} AND mechanism = %(mechanism)s)"
START = f"SELECT * FROM scram.handshake_start(%(message)s, {VERIFIER}, mechanism => %(mechanism)s)"
FINISH = f"SELECT accepted, server_final FROM scram.handshake_finish(%(state)s, %(message)s, {VERIFIER})"
REFUSED = {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
HELLO = {"ok": 1, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "minWireVersion": 0, "maxWireVersion": 21,
         "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48 << 20, "maxWriteBatchSize": 1000}


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        self.user, self.exchange = None, {}
        # A client that has seen enough may reset the connection.
        database = psycopg.connect(sys.argv[2], autocommit=True)
        with database as self.database, contextlib.suppress(ConnectionError):
            while header := self.rfile.read(16):
                length, request, _, operation = struct.unpack("<4i", header)
                body = self.rfile.read(length - 16)
                # The first message of a connection may be the old query; a document follows its collection's name.
                old = operation == OP_QUERY
                start = body.index(0, 4) + 9 if old else 5
                size = struct.unpack_from("<i", body, start)[0]
                answer = bson.encode(self.answer(bson.decode(body[start : start + size])))
                before = struct.pack("<iqii", 0, 0, 0, 1) if old else bytes(5)
                header = (16 + len(before) + len(answer), 0, request, OP_REPLY if old else OP_MSG)
                self.wfile.write(struct.pack("<4i", *header) + before + answer)

    def answer(self, command):
        name = next(iter(command))
        if name in ("hello", "ismaster", "isMaster"):
            offered = [row[0] for row in self.query(MECHANISMS, name=command.get("saslSupportedMechs"))]
            return HELLO | ({"saslSupportedMechs": offered} if offered else {})
        if name == "saslStart":
            return self.sasl_start(command["mechanism"], command["payload"].decode())
        if name == "saslContinue":
            return self.sasl_continue(command["payload"].decode())
        if name == "endSessions" or (name == "ping" and self.user):
            return {"ok": 1}
        return {"ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": f"{name} requires authentication"}

    def sasl_start(self, mechanism, message):
        name = self.query("SELECT 'admin.' || scram.username(%(message)s)", message=message)[0][0]
        who = {"name": name, "mechanism": mechanism}
        server_first, state, error = self.query(START, message=message, **who)[0]
        if error:
            return REFUSED
        self.exchange = {"state": state, **who}
        return {"ok": 1, "conversationId": 1, "done": False, "payload": server_first.encode()}

    def sasl_continue(self, message):
        accepted, server_final = self.query(FINISH, message=message, **self.exchange)[0]
        if not accepted:
            return REFUSED
        self.user = self.exchange["name"]
        return {"ok": 1, "conversationId": 1, "done": True, "payload": server_final.encode()}

    def query(self, sql, **arguments):
        return self.database.execute(sql, arguments).fetchall()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Connection).serve_forever()
