"""scramp against the two SQL calls, without a wire: every mechanism, with and without channel binding.

Arguments: socket folder, port, mechanism, user, binding type or "-". Exit status as the other clients'.
"""

import os
import sys

import pg8000.native
from scramp import ScramClient, ScramException

folder, port, mechanism, user, binding = sys.argv[1:]
database = pg8000.native.Connection(
    "gateway", unix_sock=f"{folder}/.s.PGSQL.{port}", database="postgres", password=""
)
data = None if binding == "-" else bytes(range(32))
client = ScramClient(
    [mechanism], user, os.environ["PASSWORD"], channel_binding=None if data is None else (binding, data)
)

[[server_first, state, error]] = database.run(
    "SELECT server_first, state, error FROM scram.handshake_start(:first,"
    " (SELECT secret FROM account WHERE name = scram.username(:first)), mechanism => :mechanism,"
    " channel_binding_type => :binding, channel_binding_data => :data)",
    first=client.get_client_first(),
    mechanism=mechanism,
    binding=None if data is None else binding,
    data=data,
)
if error is not None:
    sys.exit(f"client-first: {error}")
client.set_server_first(server_first)
[[accepted, server_final, username, error]] = database.run(
    "SELECT accepted, server_final, username, error FROM scram.handshake_finish(:state, :final,"
    " (SELECT secret FROM account WHERE name = :user))",
    state=state,
    final=client.get_client_final(),
    user=user,
)
try:
    client.set_server_final(server_final)
except ScramException as refused:
    assert not accepted and username is None, (accepted, username)
    assert error == "invalid-proof" and error in str(refused), error
    sys.exit(1)
assert accepted and username == user and error is None, (accepted, username, error)
