"""scramp at the sample server of Cyrus SASL, which speaks over its standard input and output.

Arguments: the folder with its `sample.conf`, user, mechanism. Exit status as the other clients'.
"""

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

from scramp import ScramClient

settings, user, mechanism = sys.argv[1:]
usr = Path(__file__).parents[2] / "target/clients/cyrus/usr"
plugins = next(usr.glob("lib/*/sasl2"))
server = subprocess.Popen(
    ["stdbuf", "-oL", usr / "sbin/sasl-sample-server", "-s", "sample", "-m", mechanism, "-p", plugins],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    env=os.environ | {"SASL_CONF_PATH": settings, "LD_LIBRARY_PATH": str(plugins.parent)},
)


def receive() -> bytes:
    told = b""
    for line in server.stdout:
        if line.startswith(b"S: "):
            return b64decode(line[3:])
        told += line
    # The last is a user without a credential of the mechanism.
    refused = re.search(b"StoredKey mismatch|user not found|No valid SCRAM-[^ ]+ secret found", told)
    sys.exit(1 if refused else told.decode())


def send(message: bytes) -> None:
    server.stdin.write(b"C: " + b64encode(message) + b"\n")
    server.stdin.flush()


offered = receive().decode()
assert offered.split() == [mechanism], offered
client = ScramClient([mechanism], user, os.environ["PASSWORD"])
send(mechanism.encode() + b"\0" + client.get_client_first().encode())
client.set_server_first(receive().decode())
send(client.get_client_final().encode())
client.set_server_final(receive().decode())
send(b"")
# What comes after the login is a message of the application.
receive()
server.kill()
