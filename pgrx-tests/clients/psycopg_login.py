"""psycopg: libpq, in the version that its wheel carries. Over TLS it insists on channel binding."""

import os
import sys

import psycopg

port, user, mode = sys.argv[1:]
options = {"sslmode": "disable"} if mode == "plain" else {"sslmode": "require", "channel_binding": "require"}
try:
    with psycopg.connect(
        host="127.0.0.1", port=port, user=user, password=os.environ["PASSWORD"], dbname="postgres", **options
    ) as session:
        assert session.execute("SELECT 42").fetchone() == (42,)
except psycopg.OperationalError as error:
    # libpq keeps no SQLSTATE of a connection that failed.
    if not any(text in str(error) for text in ("password authentication failed", "not permitted to log in")):
        raise
    sys.exit(1)
