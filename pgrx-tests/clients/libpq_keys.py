"""psycopg: logs in by libpq 18 with ClientKey and ServerKey in place of a password."""

import os
import sys

import psycopg

port, user = sys.argv[1:]
try:
    with psycopg.connect(
        host="127.0.0.1",
        port=port,
        user=user,
        dbname="postgres",
        sslmode="disable",
        require_auth="scram-sha-256",
        scram_client_key=os.environ["CLIENT_KEY"],
        scram_server_key=os.environ["SERVER_KEY"],
    ) as session:
        assert session.execute("SELECT current_user").fetchone() == (user,)
except psycopg.OperationalError as error:
    if "password authentication failed" not in str(error):
        raise
    sys.exit(1)
