"""pg8000: scramp as its SCRAM client; over TLS with channel binding."""

import os
import ssl
import sys

import pg8000.native

port, user, mode = sys.argv[1:]
context = None
if mode == "tls":
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
try:
    session = pg8000.native.Connection(
        user, host="127.0.0.1", port=int(port), password=os.environ["PASSWORD"], database="postgres", ssl_context=context
    )
    assert session.run("SELECT 42") == [[42]]
    session.close()
except pg8000.native.DatabaseError as error:
    if error.args[0].get("C") not in ("28P01", "28000"):
        raise
    sys.exit(1)
