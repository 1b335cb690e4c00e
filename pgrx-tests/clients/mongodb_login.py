"""pymongo: a SCRAM client of its own.

Arguments: port on 127.0.0.1, user, and a mechanism or `any`, which the client then chooses.
"""

import os
import sys

from pymongo import MongoClient
from pymongo.errors import OperationFailure

port, user, mechanism = sys.argv[1:]
chosen = {} if mechanism == "any" else {"authMechanism": mechanism}
client = MongoClient(
    "127.0.0.1", int(port), username=user, password=os.environ["PASSWORD"], directConnection=True, **chosen
)
try:
    assert client.admin.command("ping")["ok"] == 1
except OperationFailure as error:
    sys.exit(1 if error.code == 18 else repr(error))
