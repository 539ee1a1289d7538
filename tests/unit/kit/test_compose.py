"""Messages: the bytes are valid, complete, the same each time, and carry nothing smuggled in."""

import email
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, default
from email.utils import getaddresses

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core.errors import InvalidInputError
from backend.kit.mime._address import Mailbox
from backend.kit.mime._compose import (
    DEFAULT_MAX_ATTACHMENTS_BYTES,
    Attachment,
    Calendar,
    Content,
    check_content,
    compose,
    make_message_id,
)
from backend.kit.mime.errors import (
    AttachmentsTooLargeError,
    InvalidAddressError,
    InvalidHeaderError,
)

MESSAGE_ID = "<0190a0b0-0000-7000-8000-000000000001@example.test>"
DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDER = Mailbox("Acme", "no-reply@example.test")
ADA = Mailbox("Ada", "ada@example.test")
LOGO = Attachment("a", "image/png", b"x", "a")
BOB = Mailbox("", "bob@example.test")

printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200
).filter(lambda text: "\x85" not in text)


def write(content, *, to=(ADA,), cc=(), sender=SENDER, **options) -> bytes:
    return compose(
        content,
        message_id=MESSAGE_ID,
        from_mailbox=sender,
        to=to,
        cc=cc,
        date=DATE,
        **options,
    )


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    return message


def text_of(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def first_name(raw: bytes) -> str:
    """Decode the first name of To.

    The structured parser of Python 3.11 leaves a space between adjacent encoded words of a name,
    which RFC 2047 section 6.2 tells readers to drop; the older decoder drops it.
    """
    header = str(email.message_from_bytes(raw)["To"])
    first = header.partition(",\r\n ")[0] if "=?" in header else header
    if first.startswith("=?"):
        first = str(make_header(decode_header(first)))
        return first.rpartition("<")[0].removesuffix(" ")
    return getaddresses([header])[0][0]


def check_wire(raw: bytes) -> None:
    assert raw.isascii()
    assert b"\0" not in raw
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


class TestBeyondAscii:
    def test_stands_in_addresses_as_it_is_and_nowhere_else(self) -> None:
        raw = write(
            Content(subject="Grüße", text="Hällo", reply_to="zoë@bücher.example"),
            sender=Mailbox("Büro", "büro@example.test"),
            to=[Mailbox("Ädä", "ädä@example.test"), BOB],
        )
        beyond = [line for line in raw.decode().split("\r\n") if not line.isascii()]
        assert [line.partition("<")[2] or line for line in beyond] == [
            "büro@example.test>",
            "ädä@example.test>,",
            "Reply-To: zoë@xn--bcher-kva.example",
        ]
        message = email.message_from_bytes(raw, policy=SMTPUTF8)
        assert str(message["To"]) == f"Ädä <ädä@example.test>, {BOB.address}"


class TestCompose:
    def test_text_only(self) -> None:
        raw = write(Content(subject="Hello", text="One\nTwo\n"))
        check_wire(raw)
        assert raw == (
            b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
            b"From: Acme <no-reply@example.test>\r\n"
            b"To: Ada <ada@example.test>\r\n"
            b"Subject: Hello\r\n"
            b"Message-ID: <0190a0b0-0000-7000-8000-000000000001@example.test>\r\n"
            b"MIME-Version: 1.0\r\n"
            b'Content-Type: text/plain; charset="us-ascii"\r\n'
            b"Content-Transfer-Encoding: 7bit\r\n"
            b"\r\n"
            b"One\r\nTwo\r\n"
        )

    def test_html_only(self) -> None:
        message = read(write(Content(subject="s", html="<p>é</p>")))
        assert message.get_content_type() == "text/html"
        assert text_of(message, "html") == "<p>é</p>\n"

    def test_text_and_html(self) -> None:
        message = read(write(Content(subject="s", text="plain", html="<p>rich</p>")))
        assert message.get_content_type() == "multipart/alternative"
        # The best form comes last (RFC 2046 section 5.1.4).
        assert [part.get_content_type() for part in message.iter_parts()] == [
            "text/plain",
            "text/html",
        ]
        assert text_of(message, "plain") == "plain\n"
        assert text_of(message, "html") == "<p>rich</p>\n"

    def test_attachments(self) -> None:
        files = [
            Attachment("invoice.pdf", "application/pdf", bytes(range(256)) * 100),
            Attachment('Zoë "final".csv', "text/csv; charset=utf-8", "ä;b\n".encode()),
            Attachment("empty.bin", "application/octet-stream", b""),
        ]
        raw = write(Content(subject="s", text="t", html="<b>h</b>", attachments=files))
        check_wire(raw)
        message = read(raw)
        assert message.get_content_type() == "multipart/mixed"
        found = [
            (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
            for part in message.iter_attachments()
        ]
        assert found == [
            (file.filename, file.content_type.split(";")[0], file.data) for file in files
        ]
        assert text_of(message, "plain") == "t\n"

    def test_same_arguments_give_same_bytes(self) -> None:
        content = Content(
            subject="é", text="t", html="h", attachments=[Attachment("a", "a/b", b"x")]
        )
        assert write(content) == write(Content.from_bytes(content.to_bytes()))

    def test_date_keeps_its_zone(self) -> None:
        raw = compose(
            Content(subject="s", text="t"),
            message_id=MESSAGE_ID,
            from_mailbox=SENDER,
            to=(ADA,),
            date=datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        )
        assert raw.startswith(b"Date: Fri, 02 Jan 2026 00:00:00 +0200\r\n")

    def test_recipients(self) -> None:
        people = [Mailbox(f"Müller, Nr. {n}", f"m{n}@example.test") for n in range(60)]
        raw = write(Content(subject="s", text="t"), to=people, cc=[BOB, ADA])
        check_wire(raw)
        message = read(raw)
        assert [(a.display_name, a.addr_spec) for a in message["To"].addresses] == [
            (person.display_name, person.address) for person in people
        ]
        assert str(message["Cc"]) == "bob@example.test, Ada <ada@example.test>"

    def test_only_blind_recipients(self) -> None:
        message = read(write(Content(subject="s", text="t"), to=()))
        assert str(message["To"]) == "undisclosed-recipients:;"
        assert message["Bcc"] is None

    def test_only_carbon_copies(self) -> None:
        message = read(write(Content(subject="s", text="t"), to=(), cc=(ADA,)))
        assert message["To"] is None
        assert str(message["Cc"]) == "Ada <ada@example.test>"

    def test_reply_to(self) -> None:
        message = read(write(Content(subject="s", text="t", reply_to="Zoë <zoe@example.test>")))
        assert message["Reply-To"].addresses[0].display_name == "Zoë"

    def test_own_headers(self) -> None:
        headers = {
            "List-Unsubscribe": "<https://example.test/u?" + "x" * 200 + ">, <mailto:u@x.test>",
            "X-Long": "word  spaced " * 40 + "end",
            "X-Name": "Zoë " * 40,
            "X-Empty": "",
            "X" * 76: "é" * 60,
        }
        raw = write(Content(subject="s", text="t", headers=headers))
        check_wire(raw)
        message = read(raw)
        for name, value in headers.items():
            assert str(message[name]) == value.strip()

    def test_text_that_looks_encoded_stays_as_written(self) -> None:
        subject = "=?utf-8?q?not_encoded?="
        raw = write(
            Content(subject=subject, text="t"), to=[Mailbox("=?utf-8?b?QQ==?=", "a@example.test")]
        )
        message = read(raw)
        assert message["Subject"] == subject
        assert message["To"].addresses[0].display_name == "=?utf-8?b?QQ==?="

    def test_boundary_in_the_text_is_avoided(self) -> None:
        first = write(Content(subject="s", text="t", html="h"))
        found = re.search(rb'boundary="([^"]+)"', first)
        assert found is not None
        text = f"--{found[1].decode()}--\r\nsmuggled"
        message = read(write(Content(subject="s", text=text, html="h")))
        assert text_of(message, "plain") == text.replace("\r\n", "\n") + "\n"
        assert len(list(message.iter_parts())) == 2

    def test_refuses_naive_date(self) -> None:
        with pytest.raises(ValueError, match="aware"):
            compose(
                Content(subject="s", text="t"),
                message_id=MESSAGE_ID,
                from_mailbox=SENDER,
                to=(ADA,),
                date=datetime(2026, 1, 2),  # noqa: DTZ001 - the naive one is the point
            )

    @pytest.mark.parametrize("bad", ["", "x@y", "<x>", "<a@b>\r\nBcc: e@x.test", "<a b@c>"])
    def test_refuses_malformed_message_id(self, bad: str) -> None:
        with pytest.raises(ValueError, match="message id"):
            compose(
                Content(subject="s", text="t"),
                message_id=bad,
                from_mailbox=SENDER,
                to=(ADA,),
                date=DATE,
            )

    def test_writes_what_was_accepted_however_large(self) -> None:
        data = bytes(DEFAULT_MAX_ATTACHMENTS_BYTES + 1)
        large = Attachment(filename="a.bin", content_type="application/octet-stream", data=data)
        content = Content(subject="s", text="t", attachments=[large])
        with pytest.raises(AttachmentsTooLargeError):
            check_content(content)
        assert len(write(content)) > len(data)

    @pytest.mark.slow
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        subject=printable,
        name=printable,
        text=st.text(st.characters(exclude_categories=["Cs"]), max_size=400),
        value=printable,
    )
    def test_any_text_survives(self, subject: str, name: str, text: str, value: str) -> None:
        name = " ".join(name.split())
        content = Content(subject=subject, text=text, headers={"X-Value": value})
        raw = write(content, to=[Mailbox(name, "ada@example.test"), BOB])
        check_wire(raw)
        message = email.message_from_bytes(raw, policy=default)
        assert isinstance(message, EmailMessage)
        assert message["Subject"] == subject.strip(" \t")
        assert message["X-Value"] == value.strip(" \t")
        assert [a.addr_spec for a in message["To"].addresses] == [
            "ada@example.test",
            "bob@example.test",
        ]
        assert first_name(raw) == name
        payload = message.get_payload(decode=True)
        assert isinstance(payload, bytes)
        expected = re.sub(r"\r\n|\r|\n", "\r\n", text)
        assert payload.decode() == expected + ("" if expected.endswith("\r\n") else "\r\n")

    @pytest.mark.parametrize(
        "text",
        [
            "plain",
            ".\n.leading\n..\n",
            "From here\n",
            "trailing   \n\t\n",
            "x" * 5_000,
            "\n".join(["y" * 998] * 3),
            "ü" * 3_000,
            "mostly ascii, one ü\n" * 50,
            "日本語" * 500,
            "nul \0 inside",
            "equals = and =3D\n",
        ],
    )
    def test_reads_like_the_standard_librarys_own(self, text: str) -> None:
        reference = EmailMessage(policy=SMTP)
        reference["From"] = str(SENDER)
        reference["To"] = str(ADA)
        reference["Subject"] = "Grüße"
        reference.set_content(text)
        theirs = read(reference.as_bytes())
        ours = read(write(Content(subject="Grüße", text=text)))
        check_wire(write(Content(subject="Grüße", text=text)))
        for name in ("From", "To", "Subject"):
            assert str(ours[name]) == str(theirs[name])
        assert text_of(ours, "plain") == text_of(theirs, "plain")

    def test_long_text_is_linear(self) -> None:
        started = time.thread_time()
        for text in ("x" * 4_000_000, ("y" * 900 + "\n") * 4_000, "é" * 1_000_000):
            write(Content(subject="s", text=text))
        assert time.thread_time() - started < 10


class TestCheckContent:
    @pytest.mark.parametrize(
        "name",
        [
            "From",
            "to",
            "CC",
            "Bcc",
            "Sender",
            "Message-ID",
            "Date",
            "Subject",
            "Reply-To",
            "Return-Path",
            "Received",
            "MIME-Version",
            "Content-Type",
            "content-anything",
            "DKIM-Signature",
            "ARC-Seal",
            "Authentication-Results",
            "X-Email-Sender-Tenant",
            "X-Envelope-To",
            "Resent-Bcc",
            "",
            "X A",
            "X:A",
            "X-Ä",
            "X\r\nBcc",
            "X" * 77,
        ],
    )
    def test_refuses_header_name(self, name: str) -> None:
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", headers={name: "v"}))

    @pytest.mark.parametrize(
        "value",
        ["a\r\nBcc: eve@x.test", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\u2028b", "\ud800", "v" * 999],
    )
    def test_refuses_header_value(self, value: str) -> None:
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", headers={"X-A": value}))
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject=value, text="t"))

    def test_refuses_header_given_twice(self) -> None:
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", headers={"X-A": "1", "x-a": "2"}))

    def test_bounds_number_of_headers(self) -> None:
        headers = {f"X-{n}": "v" for n in range(50)}
        check_content(Content(subject="s", text="t", headers=headers))
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", headers={**headers, "X-A": "v"}))

    @pytest.mark.parametrize(
        ("filename", "content_type"),
        [
            ("", "a/b"),
            ("a\r\nX: y", "a/b"),
            ("a\0", "a/b"),
            ("../a", "a/b"),
            ("a\\b", "a/b"),
            ("..", "a/b"),
            ("ü" * 128, "a/b"),
            ("a", ""),
            ("a", "text"),
            ("a", "text/plain\r\nX: y"),
            ("a", "text/plain; name"),
            ("a", "multipart/mixed; boundary=x"),
            ("a", "message/rfc822"),
            ("a", "a/" + "b" * 300),
        ],
    )
    def test_refuses_attachment(self, filename: str, content_type: str) -> None:
        attachment = Attachment(filename, content_type, b"x")
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", attachments=[attachment]))

    def test_bounds_attachments_together(self) -> None:
        files = [Attachment("a", "a/b", b"x" * 600), Attachment("b", "a/b", b"x" * 400)]
        content = Content(subject="s", text="t", attachments=files)
        check_content(content, max_attachments_bytes=1_000)
        with pytest.raises(AttachmentsTooLargeError):
            check_content(content, max_attachments_bytes=999)

    def test_refuses_missing_body(self) -> None:
        with pytest.raises(InvalidInputError):
            check_content(Content(subject="s"))

    def test_accepts_empty_body(self) -> None:
        check_content(Content(subject="", text=""))
        assert text_of(read(write(Content(subject="", text=""))), "plain").strip() == ""

    def test_refuses_half_a_surrogate_pair(self) -> None:
        with pytest.raises(InvalidInputError):
            check_content(Content(subject="s", html="\udc00"))

    def test_refuses_bad_reply_to(self) -> None:
        with pytest.raises(InvalidAddressError):
            check_content(Content(subject="s", text="t", reply_to="nobody"))


class TestContentBytes:
    def test_round_trip(self) -> None:
        content = Content(
            subject="Grüße",
            text="t",
            html=None,
            reply_to="a@example.test",
            headers={"X-A": "b"},
            attachments=[Attachment("a", "a/b", b"\x00\xff")],
        )
        assert Content.from_bytes(content.to_bytes()) == content

    def test_is_compact(self) -> None:
        assert len(Content(subject="s" * 20, text="t" * 100).to_bytes()) < 135

    @pytest.mark.parametrize("raw", [b"", b"\x02\x90", b"\x01", b"\x01\xff", b"\x01\x91\x01"])
    def test_refuses_damage(self, raw: bytes) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Content.from_bytes(raw)


class TestMakeMessageId:
    def test_joins(self) -> None:
        assert make_message_id("0190-a", "example.test") == "<0190-a@example.test>"

    @pytest.mark.parametrize(("unique", "domain"), [("", "d"), ("a", ""), ("a b", "d"), ("a", "ü")])
    def test_refuses(self, unique: str, domain: str) -> None:
        with pytest.raises(ValueError, match="message id"):
            make_message_id(unique, domain)


class TestGrammar:
    """A header is encoded by what it is, and folded; only words for people become encoded words."""

    @staticmethod
    def lines(name: str, value: str) -> list[str]:
        raw = write(Content(subject="s", text="t", headers={name: value}))
        field = raw.decode().partition(f"\r\n{name}: ")[2]
        head = re.split(r"\r\n(?![ \t])", f"{name}: {field}")[0]
        return head.split("\r\n")

    def whole(self, name: str, value: str) -> str:
        return "".join(self.lines(name, value))

    def test_an_identifier_is_never_encoded(self) -> None:
        found = self.whole("List-Id", "Nachrichten für Übersetzer <news.example.test>")
        assert found.endswith(" <news.example.test>")
        phrase = found.removeprefix("List-Id: ").removesuffix(" <news.example.test>")
        assert str(make_header(decode_header(phrase))) == "Nachrichten für Übersetzer"

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("<a.test>", "List-Id: <a.test>"),
            ("News <a.test>", "List-Id: News <a.test>"),
            ('"News, all" <a.test>', 'List-Id: "News, all" <a.test>'),
            ("News, all <a.test>", 'List-Id: "News, all" <a.test>'),
            ("plain.example.test", "List-Id: plain.example.test"),
        ],
    )
    def test_list_id(self, value: str, expected: str) -> None:
        assert self.whole("List-Id", value) == expected

    @pytest.mark.parametrize("name", ["References", "In-Reply-To", "references"])
    def test_the_limit_is_a_lines_and_not_a_fields(self, name: str) -> None:
        ids = " ".join(f"<{n:040}@mail.example.test>" for n in range(40))
        lines = self.lines(name, ids)
        assert max(map(len, lines)) <= 78
        assert "".join(lines) == f"{name}: {ids}"

    def test_free_text_may_be_long(self) -> None:
        for text in ("word " * 1_000, "ü" * 5_000):
            value = text.strip()
            raw = write(Content(subject="s", text="t", headers={"X-Long": value}))
            assert max(map(len, raw.split(b"\r\n"))) <= 78
            assert read(raw)["X-Long"] == value

    def test_urls_are_escaped_and_folded_between(self) -> None:
        one, two = "mailto:weg@example.test?subject=Tschüß", "https://example.test/a,b?x=1&y=ü"
        found = self.lines("List-Unsubscribe", f"<{one}>, <{two}>")
        assert found == [
            "List-Unsubscribe: <mailto:weg@example.test?subject=Tsch%C3%BC%C3%9F>,",
            " <https://example.test/a,b?x=1&y=%C3%BC>",
        ]

    def test_what_is_escaped_already_stays(self) -> None:
        url = "<https://example.test/?u=%C3%BC&t=a%2Cb>"
        assert self.whole("List-Unsubscribe", url) == f"List-Unsubscribe: {url}"

    def test_addresses(self) -> None:
        value = 'Jürgen <j@example.test>, "Lovelace, Ada" <a@example.test>, b@bücher.test'
        found = read(
            write(Content(subject="s", text="t", headers={"Disposition-Notification-To": value}))
        )["Disposition-Notification-To"]
        pairs = [
            (str(make_header(decode_header(name))), address)
            for name, address in getaddresses([str(found)])
        ]
        assert pairs == [
            ("Jürgen", "j@example.test"),
            ("Lovelace, Ada", "a@example.test"),
            ("", "b@xn--bcher-kva.test"),
        ]

    def test_keywords_keep_their_commas(self) -> None:
        found = self.whole("Keywords", "Grüße, plain words, a.b")
        parts = found.removeprefix("Keywords: ").split(", ")
        assert [str(make_header(decode_header(one))) for one in parts] == [
            "Grüße",
            "plain words",
            '"a.b"',
        ]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("References", "<ü@example.test>"),
            ("List-Id", "News <nüws.example.test>"),
            ("List-Unsubscribe", "weg über https://example.test"),
            ("Auto-Submitted", "auto-gemäß"),
            ("X-Priority", "höchste"),
            ("Disposition-Notification-To", "nobody"),
            ("X-Token", "x" * 1_000),
            ("X-Long", "word " * 4_000),
        ],
    )
    def test_refuses_what_it_cannot_say(self, name: str, value: str) -> None:
        with pytest.raises(InvalidHeaderError):
            check_content(Content(subject="s", text="t", headers={name: value}))

    @pytest.mark.parametrize(
        ("given", "written"),
        [
            ("text/html ; charset=utf-8", "text/html; charset=utf-8"),
            ("text/html;charset=utf-8", "text/html; charset=utf-8"),
            (" text/html; charset = utf-8 ; ", "text/html; charset=utf-8"),
            ('text/html; name="a; b" ;x=y', 'text/html; name="a; b"; x=y'),
        ],
    )
    def test_white_space_in_a_content_type(self, given: str, written: str) -> None:
        content = Content(subject="s", text="t", attachments=[Attachment("a", given, b"x")])
        check_content(content)
        assert f"Content-Type: {written}\r\n".encode() in write(content)


class TestForms:
    """Text, HTML with what it shows, and an invitation are forms of one message."""

    @pytest.mark.parametrize(
        ("content", "kinds"),
        [
            (
                Content(
                    subject="s", html="h", attachments=[Attachment("a", "image/png", b"x", "a")]
                ),
                ["multipart/related", "text/html", "image/png"],
            ),
            (
                Content(subject="s", text="t", calendar=Calendar("REQUEST", "BEGIN:VCALENDAR")),
                ["multipart/alternative", "text/plain", "text/calendar"],
            ),
        ],
    )
    def test_stand_where_they_belong(self, content: Content, kinds: list[str]) -> None:
        check_content(content)
        assert [part.get_content_type() for part in read(write(content)).walk()] == kinds

    def test_what_an_earlier_release_stored_is_read(self) -> None:
        old = b"\x01" + msgspec.msgpack.encode(
            ["s", "t", None, "a@x.test", {}, [["f", "a/b", b"d"]]]
        )
        content = Content.from_bytes(old)
        assert content.replies_to == ["a@x.test"]
        assert content.attachments == [Attachment("f", "a/b", b"d")]
        assert content.calendar is None

    @pytest.mark.parametrize("method", ["REQUEST; x=y", "", "request"])
    def test_a_method_is_one_of_the_standards(self, method: str) -> None:
        with pytest.raises(InvalidInputError):
            check_content(
                Content(subject="s", text="t", calendar=Calendar(method, "BEGIN:VCALENDAR"))
            )
