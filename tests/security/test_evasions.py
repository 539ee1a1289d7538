"""Ways around the guard of our own network, in an Internet where each would lead inside.

Each is asked of the kind ``http.request``, of a webhook and of the way out, which alone follows
redirects. The names are looked up by the servers of ``/etc/resolv.conf``; what listens inside
listens on every address that an evasion means (``tests/support/small_internet.py``).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_internet import CERTIFIED, PUBLIC
from tests.support.tls_front import certificate_for

pytestmark = [pytest.mark.attack, pytest.mark.slow, pytest.mark.timeout(300)]

WAYS = ("job", "webhook", "way out")
ALLOWED: dict[str, str] = {
    "a name": "{web}://public.test/",
    "a name of IPv6": "{web}://six.test/",
    "an alias": "{web}://alias.test/",
    "an answer that comes by TCP": "{web}://long.test/",
    "a name of large letters": "{web}://PUBLIC.test/",
}
EVASIONS: dict[str, str] = {
    "loopback": "{web}://127.0.0.1/",
    "another loopback": "{web}://127.8.8.8/",
    "a decimal number": "{web}://2130706433/",
    "an octal number": "{web}://017700000001/",
    "a hexadecimal number": "{web}://0x7f000001/",
    "octal parts": "{web}://0177.0.0.01/",
    "hexadecimal parts": "{web}://0x7f.0x0.0x0.0x1/",
    "two parts": "{web}://127.1/",
    "three parts": "{web}://127.0.1/",
    "parts that run over": "{web}://383.256.256.257/",
    "an address with a dot at its end": "{web}://127.0.0.1./",
    "zero": "{web}://0/",
    "all addresses": "{web}://0.0.0.0/",
    "all addresses of IPv6": "{web}://[::]/",
    "loopback of IPv6": "{web}://[::1]/",
    "loopback of IPv6 in full": "{web}://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "IPv4 mapped": "{web}://[::ffff:127.0.0.1]/",
    "IPv4 mapped in hexadecimal": "{web}://[::ffff:7f00:1]/",
    "IPv4 compatible": "{web}://[::127.0.0.1]/",
    "NAT64": "{web}://[64:ff9b::7f00:1]/",
    "NAT64 to the metadata": "{web}://[64:ff9b::169.254.169.254]/",
    "NAT64 of a network's own": "{web}://[64:ff9b:1::7f00:1]/",
    "6to4": "{web}://[2002:7f00:1::]/",
    "Teredo": "{web}://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "a unique local address": "{web}://[fd00:ec2::254]/",
    "a site local address": "{web}://[fec0::1]/",
    "a zone": "{web}://[fe80::1%25lo]/",
    "a zone of loopback": "{web}://[::1%25lo]/",
    "a private address": "{web}://10.0.0.1/",
    "another private address": "{web}://172.16.0.1/",
    "a third private address": "{web}://192.168.0.1/",
    "a carrier's address": "{web}://100.64.0.1/",
    "the metadata's address": "{web}://169.254.169.254/latest/meta-data/",
    "the metadata's number": "{web}://2852039166/latest/meta-data/",
    "the metadata's name": "{web}://metadata.google.internal/",
    "another name of the metadata": "{web}://instance-data.ec2.internal/",
    "a name that the search list completes": "{web}://metadata/",
    "localhost": "{web}://localhost/",
    "localhost in large letters": "{web}://LocalHost/",
    "localhost with a dot": "{web}://localhost./",
    "a name below localhost": "{web}://any.localhost/",
    "a name of the hosts file": "{web}://thismachine/",
    "fullwidth digits": "{web}://\uff11\uff12\uff17.0.0.1/",
    "ideographic full stops": "{web}://127\u30020\u30020\u30021/",
    "halfwidth full stops": "{web}://127\uff610\uff610\uff611/",
    "circled digits": "{web}://\u2460\u2461\u2466.0.0.1/",
    "Arabic digits": "{web}://\u0661\u0662\u0667.0.0.1/",
    "a soft hyphen": "{web}://loc\u00adalhost/",
    "letters that IDNA folds": "{web}://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",
    "a zero-width joiner": "{web}://local\u200dhost/",
    "octets in per cent": "{web}://%31%32%37.0.0.1/",
    "a name in per cent": "{web}://loop%2etest/",
    "a name before the host": "{web}://public.test@loop.test/",
    "a name and a password": "{web}://public.test:80@loop.test/",  # pragma: allowlist secret
    "two at signs": "{web}://public.test@public.test@loop.test/",
    "a fragment before an at sign": "{web}://loop.test#@public.test/",
    "a query before an at sign": "{web}://loop.test?@public.test/",
    "a backslash before an at sign": "{web}://loop.test\\@public.test/",
    "a backslash": "{web}:\\\\loop.test/",
    "a tab in the host": "{web}://loop\t.test/",
    "a line's end in the host": "{web}://loop.\ntest/",
    "a header in the address": "{web}://loop.test/\r\nHost: public.test/",
    "a space before": " {web}://loop.test/",
    "a nought in the host": "{web}://public.test\x00.loop.test/",
    "a port with noughts": "{web}://loop.test:00080/",
    "a port that runs over": "{web}://public.test:65616/",
    "port 0": "{web}://loop.test:0/",
    "two ports": "{web}://loop.test:80:80/",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://loop.test:80/_GET%20/",
    "ftp": "ftp://loop.test/",
    "dict": "dict://loop.test:80/",
    "data": "data:text/plain,inside",
    "no scheme": "//loop.test/",
    "no host": "{web}:///loop.test/",
    "a name of loopback": "{web}://loop.test/",
    "a name of IPv6's loopback": "{web}://loop6.test/",
    "a name of the metadata's address": "{web}://meta.test/",
    "a name of all addresses": "{web}://zero.test/",
    "a name of an address mapped": "{web}://mapped.test/",
    "a name of an address of NAT64": "{web}://translated.test/",
    "an answer of both": "{web}://mixed.test/",
    "an answer of both kinds": "{web}://mixed6.test/",
    "an answer by TCP": "{web}://longin.test/",
    "an alias of loopback": "{web}://inner.test/",
    "an alias of an alias": "{web}://first.test/",
}
REDIRECTS: dict[str, str] = {
    **{
        f"a redirect by {status}": f"{{web}}://public.test/to/{status}/http:%2F%2Floop.test%2F"
        for status in (301, 302, 303, 307, 308)
    },
    "a redirect to an address": "{web}://public.test/to/302/http:%2F%2F10.0.0.1%2F",
    "a redirect without a scheme": "{web}://public.test/to/302/%2F%2F169.254.169.254%2F",
    "a redirect to a backslash": "{web}://public.test/to/302/%2F%5Cloop.test%2F",
    "a redirect to a file": "{web}://public.test/to/302/file:%2F%2F%2Fetc%2Fpasswd",
    "a redirect after a redirect": "{web}://public.test/to/301/http:%2F%2Fpublic.test%2Fto%2F302"
    "%2Fhttp:%252F%252Floop.test%252F",
}
TURNING: dict[str, tuple[str, int]] = {
    "a name that was public before": ("{web}://rebound.test/", 4),
    "a name that is both in turns": ("{web}://turning.test/", 6),
}
REFUSALS = (
    "refused: ",
    "outbound.not_allowed",
    "is not on the public Internet",
    "is not the name of a host",
    "This is no address of http or https",
)
UNKNOWN = ("a name in per cent", "a name that the search list completes")
"""Names that nobody has: no name server is asked for what they would be made."""
HARMLESS = ("a backslash before an at sign", "a redirect to a backslash")
"""To the way out it is a path, or the name of somebody, and leads to the public host."""
ARRIVED = {"job": PUBLIC, "webhook": ("delivered",), "way out": PUBLIC}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> dict[str, Any]:
    """What came of each, in a network of its own."""
    alone = ["unshare", "--net", "--mount", "--fork", "--kill-child"]
    alone += [] if os.geteuid() == 0 else ["--map-root-user"]
    try:
        subprocess.run([*alone, "ip", "link"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace here: run it as root with util-linux and iproute2")
    folder = tmp_path_factory.mktemp("internet")
    shutil.copy(sqlite_template, folder / "test.db")
    ca, _ = certificate_for(folder, *CERTIFIED)
    (folder / "ca.pem").write_text(ca)
    asked: dict[str, Any] = {
        name: {"url": url} for name, url in {**ALLOWED, **EVASIONS, **REDIRECTS}.items()
    }
    asked |= {name: {"url": url, "times": times} for name, (url, times) in TURNING.items()}
    (folder / "asked.json").write_text(json.dumps(asked))
    proxy = "http://10.0.0.1:80"
    variables = {f"{kind}_proxy": proxy for kind in ("http", "https", "all")}
    variables |= {name.upper(): value for name, value in variables.items()}
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.support.small_internet", str(folder)],
        env={**os.environ, **variables, "SSL_CERT_FILE": str(folder / "ca.pem")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return told


@pytest.mark.parametrize("way", WAYS)
class TestOfAll:
    @pytest.mark.parametrize("name", ALLOWED)
    def test_what_is_allowed_arrives(self, found: dict[str, Any], name: str, way: str) -> None:
        """And not by the proxy that the environment names."""
        came = found[f"{name} by {way}"]
        assert came["said"][0] in ARRIVED[way]
        assert set(came["heard"]) <= set(PUBLIC) | {f"::ffff:{PUBLIC[0]}"}
        assert came["heard"]

    @pytest.mark.parametrize("name", EVASIONS)
    def test_no_evasion_leads_inside(self, found: dict[str, Any], name: str, way: str) -> None:
        came = found[f"{name} by {way}"]
        if name in HARMLESS and way == "way out":
            assert set(came["heard"]) == {PUBLIC[0]}
            return
        assert came["heard"] == []
        words = ("There is no host",) if name in UNKNOWN else REFUSALS
        assert any(word in came["said"][0] for word in words), came

    @pytest.mark.parametrize("name", REDIRECTS)
    def test_no_redirect_leads_inside(self, found: dict[str, Any], name: str, way: str) -> None:
        """Jobs and webhooks follow none; who does, judges where it leads."""
        came = found[f"{name} by {way}"]
        assert set(came["heard"]) == {PUBLIC[0]}
        if name in HARMLESS and way == "way out":
            return
        wanted = REFUSALS if way == "way out" else (" 30",)
        assert any(word in came["said"][0] for word in wanted), came

    @pytest.mark.parametrize("name", TURNING)
    def test_a_name_is_judged_each_time(self, found: dict[str, Any], name: str, way: str) -> None:
        """Whatever it was when it was looked at before: the address judged is the one asked."""
        came = found[f"{name} by {way}"]
        assert set(came["heard"]) <= {PUBLIC[0]}
        refused = [any(word in said for word in REFUSALS) for said in came["said"]]
        assert refused[-1]
        for said, no in zip(came["said"], refused, strict=True):
            assert no or said in ARRIVED[way]


def test_there_are_enough() -> None:
    assert len(EVASIONS) + len(REDIRECTS) + len(TURNING) >= 30
