"""The platform's own sender: what is accepted at the start can be sent from later."""

import pytest
from pydantic import ValidationError

from backend.kit.mime import Mailbox, make_message_id, parse_address
from backend.managers.email import EmailSettings
from backend.managers.email.schemas import RetryIn


class TestFromAddress:
    @pytest.mark.parametrize(
        "text", ["billing@", "@b.example", "", "billing", "a@b.example, c@d.example", "a@127.0.0.1"]
    )
    def test_refuses_what_is_no_address(self, text):
        with pytest.raises(ValidationError, match="is not a valid address"):
            EmailSettings(from_address=text)

    def test_refuses_a_name_beside_the_address(self):
        with pytest.raises(ValidationError, match="from_name"):
            EmailSettings(from_address="Ada <a@b.example>")

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("billing@acme.example", "billing@acme.example"),
            (" Billing@ACME.example ", "Billing@acme.example"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("root@localhost", "root@localhost"),
        ],
    )
    def test_keeps_the_form_that_mail_is_sent_from(self, text, kept):
        settings = EmailSettings(from_address=text)
        assert settings.from_address == kept
        sender = Mailbox(settings.from_name, settings.from_address)
        assert parse_address(str(sender)) == sender
        assert make_message_id("1", sender.domain)


class TestFromName:
    @pytest.mark.parametrize("text", ["two\nlines", "n" * 201])
    def test_refuses_what_no_header_takes(self, text):
        with pytest.raises(ValidationError, match="from_name"):
            EmailSettings(from_name=text)

    @pytest.mark.parametrize("text", ["", 'Acme "Billing" <x>', "Grüße, Inc."])
    def test_takes_what_can_be_quoted(self, text):
        assert EmailSettings(from_name=text).from_name == text


class TestPatience:
    def test_is_that_of_the_standard(self):
        """RFC 5321, section 4.5.4.1: the give-up time is at least 4 to 5 days."""
        assert EmailSettings().give_up_after_seconds == 5 * 86_400
        # A tenant that changes when a message is tried again need not know for how long.
        assert RetryIn(waits_seconds=[60]).give_up_after_seconds == 5 * 86_400

    def test_is_told_of_within_the_day(self):
        assert EmailSettings().delay_notice_after_seconds < 86_400
