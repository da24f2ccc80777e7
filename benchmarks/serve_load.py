"""Load for a server on loopback, from a process of its own: what benchmarks/serve.py starts.

    python benchmarks/serve_load.py PORT PATH BODY TYPE [--connections 32] [--seconds 10] [--rate 50] [--header "A: b"]

BODY is a file that holds one request body a line, in base64; TYPE is their content type. Without a rate each connection
asks again as soon as it is answered; with one, requests begin at random moments (exponential gaps), whoever still
waits. Prints one line of JSON: how many were answered, other statuses, seconds, and latencies in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

REFUSED = 0  # stands for a connection that gave no answer


@dataclass
class Load:
    port: int
    head: str  # all but the length
    bodies: list[bytes]
    until: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def ask(self, number: int) -> None:
        """One request, by a connection that is free, or a new one."""
        body = self.bodies[number % len(self.bodies)]
        began = time.monotonic()
        try:
            pair = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
            pair[1].write(f"{self.head}content-length: {len(body)}\r\n\r\n".encode() + body)
            status = await answer(pair[0])
            self.idle.append(pair)
        except (OSError, EOFError, ValueError):
            status = REFUSED
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(time.monotonic() - began)

    async def again_and_again(self, first: int) -> None:
        number = first
        while time.monotonic() < self.until:
            await self.ask(number)
            number += 7

    async def at(self, rate: float) -> None:
        drawn, number, asked = random.Random(0), 0, set()
        while time.monotonic() < self.until:
            task = asyncio.create_task(self.ask(number))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
            await asyncio.sleep(drawn.expovariate(rate))
        await asyncio.gather(*asked)


async def answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if "content-length:" in head:
        await reader.readexactly(int(head.partition("content-length:")[2].split("\r\n")[0]))
    else:  # chunks
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head.split()[1])


async def go(options: argparse.Namespace) -> dict[str, object]:
    lines = [f"POST {options.path} HTTP/1.1", f"host: 127.0.0.1:{options.port}", f"content-type: {options.type}"]
    head = "\r\n".join([*lines, *options.header]) + "\r\n"
    bodies = [base64.b64decode(line) for line in options.body.read_text().split()]
    load = Load(options.port, head, bodies)
    began = time.monotonic()
    load.until = began + options.seconds
    if options.rate:
        await load.at(options.rate)
    else:
        await asyncio.gather(*(load.again_and_again(number) for number in range(options.connections)))
    taken = time.monotonic() - began
    told = sorted(load.latencies)
    others = {str(status): count for status, count in load.statuses.items() if status != 200}
    return {
        "answered": len(told),
        "others": others,
        "seconds": taken,
        **{name: told[min(int(share * len(told)), len(told) - 1)] if told else None for name, share in SHARES.items()},
    }


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body", type=Path)
    parser.add_argument("type")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0, help="Requests a second; 0: as fast as they are answered.")
    parser.add_argument("--header", action="append", default=[], help="More of the head, such as a token.")
    print(json.dumps(asyncio.run(go(parser.parse_args()))))


if __name__ == "__main__":
    main()
