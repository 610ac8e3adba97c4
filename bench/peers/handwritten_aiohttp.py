"""The fastest plain script: aiohttp and msgspec, no retry, no state. A floor, not a product.

handwritten_aiohttp.py URL read | batch CONCURRENCY | one CONCURRENCY
"""

import asyncio
import sys
from typing import Any

import aiohttp
import msgspec

from contact import mapped

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


async def main(url: str, mode: str, concurrency: int = 1) -> None:
    """Read page after page; send what the mode says."""
    async with aiohttp.ClientSession(url) as client:
        free = asyncio.Semaphore(concurrency)
        sending: set[asyncio.Task[None]] = set()

        async def send(path: str, body: Any) -> None:
            try:
                headers = {"content-type": "application/json"}
                async with client.post(path, data=encode(body), headers=headers) as response:
                    response.raise_for_status()
                    decode(await response.read())
            finally:
                free.release()

        async def post(path: str, body: Any) -> None:
            await free.acquire()
            task = asyncio.create_task(send(path, body))
            sending.add(task)
            task.add_done_callback(sending.discard)

        page, done = 1, 0
        while page:
            async with client.get(f"/contacts?page={page}&limit=100") as response:
                response.raise_for_status()
                answer = decode(await response.read())
            members = [mapped(contact) for contact in answer["data"]]
            page = answer["next_page"]
            done += len(members)
            if mode == "batch":
                await post("/batch", members)
            elif mode == "one":
                for member in members:
                    await post(f"/one/{member['email_address']}", member)
        await asyncio.gather(*sending)
    print(done)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], *map(int, sys.argv[3:])))
