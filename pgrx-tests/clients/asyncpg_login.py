"""asyncpg: a SCRAM client of its own, without channel binding."""

import asyncio
import os
import ssl
import sys

import asyncpg

port, user, mode = sys.argv[1:]


async def main():
    context = False
    if mode == "tls":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    session = await asyncpg.connect(
        host="127.0.0.1", port=int(port), user=user, password=os.environ["PASSWORD"], database="postgres", ssl=context
    )
    assert await session.fetchval("SELECT 42") == 42
    await session.close()


try:
    asyncio.run(main())
except asyncpg.InvalidAuthorizationSpecificationError:
    sys.exit(1)
