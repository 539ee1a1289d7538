"""A TLS front for a plain HTTP server of this machine; its certificate is a private authority's."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class TlsFront:
    """Where the front is, and the authority that a client has to trust."""

    url: str
    ca_pem: str


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    names: Sequence[str] = (),
) -> bytes:
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([address, *(x509.DNSName(name) for name in names)]),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def certificate_for(folder: Path, *names: str) -> tuple[str, Path]:
    """A private authority, and a file with a certificate of it for 127.0.0.1 and its key; PEM.

    The certificate is that of hosts of these names, too.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("Private CA", ca_key, "Private CA", ca_key, ca=True)
    leaf = _certificate("127.0.0.1", key, "Private CA", ca_key, ca=False, names=names)
    pem = folder / "front.pem"
    pem.write_bytes(
        leaf
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return ca.decode(), pem


@contextlib.contextmanager
def tls_front(port: int, folder: Path) -> Iterator[TlsFront]:
    """Serve what listens on ``port`` of 127.0.0.1 by TLS, on a free port, while the block lasts."""
    ca, pem = certificate_for(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
    try:
        yield TlsFront(f"https://127.0.0.1:{listener.getsockname()[1]}", ca)
    finally:
        listener.close()


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, port), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    # A client that does not trust us breaks the handshake: nothing is to be done about it.
    with (
        contextlib.suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as front,
        socket.create_connection(("127.0.0.1", port)) as back,
    ):
        threading.Thread(target=_pump, args=(back, front), daemon=True).start()
        _pump(front, back)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
