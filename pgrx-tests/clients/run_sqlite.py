"""Runs statements from the input in a new SQLite database, then a query, whose rows it prints."""

import sqlite3
import sys

database = sqlite3.connect(":memory:")
database.executescript(sys.stdin.buffer.read().decode("utf-8"))
for row in database.execute(sys.argv[1]):
    print("|".join(str(value) for value in row))
