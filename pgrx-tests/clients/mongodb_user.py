"""bson of pymongo: writes a user of admin.system.users as mongoexport does, relaxed or canonical."""

import sys
import uuid

from bson import json_util
from bson.binary import Binary, UuidRepresentation

form, credentials = sys.argv[1:]
options = {"relaxed": json_util.RELAXED_JSON_OPTIONS, "canonical": json_util.CANONICAL_JSON_OPTIONS}[form]
user = {
    "_id": "admin.ann",
    "userId": Binary.from_uuid(uuid.UUID(int=1), UuidRepresentation.STANDARD),
    "user": "ann",
    "db": "admin",
    "credentials": json_util.loads(credentials),
    "roles": [{"role": "readWrite", "db": "app"}],
}
print(json_util.dumps(user, json_options=options))
