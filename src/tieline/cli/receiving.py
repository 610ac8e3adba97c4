"""The command that receives webhooks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tieline.cli.logs import listener
from tieline.cli.opening import opened
from tieline.cli.output import OK, output
from tieline.cli.running import on_end, within
from tieline.web.receiver import open_receiver


def receive(folder: Path, *, host: str, port: int, url: str | None) -> int:
    """Receive webhooks until asked to end."""
    with opened(folder) as project:
        tell = listener(output.log, project.redactor) if output.log != "off" else lambda event: None
        receiver = open_receiver(project, tell, url=url)

        async def work() -> int:
            ended = asyncio.Event()
            on_end(asyncio.get_running_loop(), ended.set)
            await receiver.start(host, port)
            addresses = {name: receiver.address_of(name) for name in receiver.names}
            if output.json_mode:
                output.json({"listens": receiver.address, "connections": addresses})
            else:
                output.print(f"listening on {receiver.address}; give each vendor its address, and have it send these events:")
                for name, address in addresses.items():
                    output.print(f"  {name}  {address}")
                    output.print(f"      {', '.join(receiver.types_of(name)) or 'none: no resource says which concern it'}", style="dim")
                if url is None:
                    output.print("vendors speak https: have a proxy end it before this, and say where with --url", style="dim")
                output.print("what they tell of waits for the next `tieline run`")
            output.console.file.flush()
            await receiver.serve(ended)
            return OK

        return within(project, work)
