"""An XMPP client: scramp over SASL, then an address of its own from the server.

Arguments: port on 127.0.0.1, host, user, mechanism. Exit status as the other clients'.
"""

import os
import re
import socket
import sys
from base64 import b64decode, b64encode

from scramp import ScramClient

port, host, user, mechanism = sys.argv[1:]
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
STREAM = (
    f"<?xml version='1.0'?><stream:stream to='{host}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
server = socket.create_connection(("127.0.0.1", int(port)), timeout=30)


def ask(sent: str, end: str) -> str:
    """Sends this, and returns what comes up to this pattern."""
    server.sendall(sent.encode())
    answer = ""
    while not re.search(end, answer):
        data = server.recv(65536)
        if not data:
            sys.exit(f"the server closed the stream after: {answer}")
        answer += data.decode()
    return answer


def content(element: str, answer: str) -> str:
    found = re.search(f"<{element}[^>]*>([^<]*)</{element}>", answer)
    if not found:
        sys.exit(1 if "<not-authorized" in answer else answer)
    return b64decode(found[1]).decode()


features = ask(STREAM, "</stream:features>")
offered = re.findall("<mechanism>([^<]*)</mechanism>", features)
if mechanism not in offered:
    sys.exit(f"{mechanism} is not offered, but {offered}")
client = ScramClient([mechanism], user, os.environ["PASSWORD"])
first = b64encode(client.get_client_first().encode()).decode()
answer = ask(f"<auth {SASL} mechanism='{mechanism}'>{first}</auth>", "</(challenge|failure)>")
client.set_server_first(content("challenge", answer))
last = b64encode(client.get_client_final().encode()).decode()
answer = ask(f"<response {SASL}>{last}</response>", "</(success|failure)>")
client.set_server_final(content("success", answer))
ask(STREAM, "</stream:features>")
bind = "<iq type='set' id='a'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
answer = ask(bind, "</iq>")
assert f"<jid>{user}@{host}/" in answer, answer
