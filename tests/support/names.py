"""A real name server on loopback, for names that a test makes up; and one that never answers."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

NEGATIVE_SECONDS = 20


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA with what ``records`` has for the name, TXT with what ``texts`` has.

    Below ``hole.test`` it says nothing. A name leads to addresses, or to a function that gives them
    anew each time that A is asked for; by ``aliases`` it leads to another name (CNAME). What is in
    ``long`` does not fit into a datagram and is told by TCP alone.
    """

    records: dict[str, list[str] | Callable[[], list[str]]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    long: frozenset[str] = frozenset()
    ttl: int = 60
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        said = self._answer(data, by_datagram=True)
        if said is not None:
            self._transport.sendto(said, addr)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection (RFC 1035, 4.2.2)."""
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            said = self._answer(await reader.readexactly(length), by_datagram=False)
            if said is not None:
                writer.write(struct.pack("!H", len(said)) + said)
                await writer.drain()
        finally:
            writer.close()

    def _answer(self, data: bytes, *, by_datagram: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        asked = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{asked} {kind}")
        if self.silent or asked.endswith("hole.test"):
            return None
        answer = dns.message.make_response(query)
        if by_datagram and asked in self.long:
            answer.flags |= dns.flags.TC
            return answer.to_wire()
        name = asked
        while (target := self.aliases.get(name)) is not None:
            answer.answer.append(
                dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", f"{target}.")
            )
            name = target
        found = self.records.get(name)
        said: list[str] = []
        if question.rdtype == dns.rdatatype.TXT and name in self.texts:
            said = [f'"{text}"' for text in self.texts[name]]
        elif found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            said = [one for one in (found() if callable(found) else found) if ":" not in one]
        elif question.rdtype == dns.rdatatype.AAAA and not callable(found):
            said = [one for one in found if ":" in one]
        if said:
            answer.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *said))
        else:
            soa = f"ns.test. root.test. 1 1 1 1 {NEGATIVE_SECONDS}"
            answer.authority.append(
                dns.rrset.from_text("test.", NEGATIVE_SECONDS, "IN", "SOA", soa)
            )
        return answer.to_wire()

    @property
    def address(self) -> str:
        """As the settings want it."""
        return f"127.0.0.1#{self.port}"


@asynccontextmanager
async def name_server(*, port: int = 0, **options: object) -> AsyncIterator[NameServer]:
    """A running name server, by UDP and TCP, on a free port unless one is given."""
    made = NameServer(**options)  # type: ignore[arg-type]
    by_tcp = await asyncio.start_server(made.take, "127.0.0.1", port)
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: made, local_addr=by_tcp.sockets[0].getsockname()
        )
        try:
            yield made
        finally:
            transport.close()
    finally:
        by_tcp.close()
        await by_tcp.wait_closed()
