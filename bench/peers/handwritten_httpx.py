"""What a careful engineer writes by hand: httpx and tenacity, with retries, without state.

handwritten_httpx.py URL read | batch CONCURRENCY | one CONCURRENCY
"""

import asyncio
import sys
from typing import Any

import httpx
import tenacity

from contact import mapped


def is_transient(error: BaseException) -> bool:
    """Say whether another try may go better."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


retried = tenacity.retry(
    retry=tenacity.retry_if_exception(is_transient),
    wait=tenacity.wait_exponential_jitter(1, 60),
    stop=tenacity.stop_after_attempt(8),
    reraise=True,
)


async def main(url: str, mode: str, concurrency: int = 1) -> None:
    """Read page after page; send what the mode says."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        free = asyncio.Semaphore(concurrency)
        sending: set[asyncio.Task[None]] = set()

        @retried
        async def fetch(page: int) -> Any:
            response = await client.get("/contacts", params={"page": page, "limit": 100})
            response.raise_for_status()
            return response.json()

        @retried
        async def deliver(path: str, body: Any) -> None:
            response = await client.post(path, json=body)
            response.raise_for_status()
            response.json()

        async def send(path: str, body: Any) -> None:
            try:
                await deliver(path, body)
            finally:
                free.release()

        async def post(path: str, body: Any) -> None:
            await free.acquire()
            task = asyncio.create_task(send(path, body))
            sending.add(task)
            task.add_done_callback(sending.discard)

        page, done = 1, 0
        while page:
            answer = await fetch(page)
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
