"""A real name server on loopback, for names that a test makes up; and one that never answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

NEGATIVE_SECONDS = 20


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers A with what ``records`` has for the name, TXT with what ``texts`` has.

    Below ``hole.test`` it says nothing.

    A name leads to addresses, or to a function that gives them anew each time.
    """

    records: dict[str, list[str] | Callable[[], list[str]]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    ttl: int = 60
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        if self.silent or name.endswith("hole.test"):
            return
        answer = dns.message.make_response(query)
        found = self.records.get(name)
        if question.rdtype == dns.rdatatype.TXT and name in self.texts:
            said = [f'"{text}"' for text in self.texts[name]]
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", "TXT", *said))
        elif found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            addresses = found() if callable(found) else found
            answer.answer.append(
                dns.rrset.from_text(question.name, self.ttl, "IN", "A", *addresses)
            )
        if not answer.answer:
            soa = f"ns.test. root.test. 1 1 1 1 {NEGATIVE_SECONDS}"
            answer.authority.append(
                dns.rrset.from_text("test.", NEGATIVE_SECONDS, "IN", "SOA", soa)
            )
        self._transport.sendto(answer.to_wire(), addr)

    @property
    def address(self) -> str:
        """As the settings want it."""
        return f"127.0.0.1#{self.port}"


@asynccontextmanager
async def name_server(**options: object) -> AsyncIterator[NameServer]:
    """A running name server on a free port."""
    made = NameServer(**options)  # type: ignore[arg-type]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: made, local_addr=("127.0.0.1", 0)
    )
    try:
        yield made
    finally:
        transport.close()
