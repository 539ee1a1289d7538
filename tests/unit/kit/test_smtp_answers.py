"""Of whom an answer speaks: the recipient, the message, our sender, us, or the moment."""

import pytest

from backend.kit.smtp._answers import Reply, judge


def verdict(stage, said, *, delivering=False):
    return judge(stage, Reply(int(said[:3]), said[4:]), delivering=delivering)


class TestOfTheRecipient:
    @pytest.mark.parametrize(
        "said",
        [
            "550 5.1.1 nobody",
            "550 nobody here",
            "553 5.1.3 bad address",
            "550 5.7.1 not from you",
            "552 5.2.2 mailbox full",
            "556 5.1.10 takes no mail",
            "554 5.4.4 no route",
            "550 5.1.1 no account of this name; the sender was rejected",
        ],
    )
    def test_for_good(self, said):
        assert verdict("rcpt", said) == "refused"

    @pytest.mark.parametrize(
        "said",
        [
            "450 4.2.0 greylisted",
            "451 4.7.1 Greylisted, come back later",
            "450 4.1.1 not yet",
            "452 4.2.2 mailbox full",
            "450 4.2.1 receives mail at a rate that is too high",
        ],
    )
    def test_for_now(self, said):
        assert verdict("rcpt", said) == "later"


class TestOfTheMessage:
    @pytest.mark.parametrize("said", ["552 too big", "552 5.3.4 too big", "554 5.6.0 bad"])
    def test_already_at_mail(self, said):
        assert verdict("mail", said) == "refused"

    @pytest.mark.parametrize("said", ["554 5.7.1 spam", "550 5.6.0 bad", "554 no"])
    def test_at_its_end(self, said):
        assert verdict("data", said) == "refused"


class TestOfUs:
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    @pytest.mark.parametrize(
        "said",
        [
            "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
            "550 5.4.5 Daily user sending limit exceeded",
            "530 5.7.0 Must issue a STARTTLS command first",
            "530 5.7.1 Authentication required",
            "535 5.7.8 bad credentials",
            "534 5.7.9 too weak",
            "538 5.7.11 encryption required",
            "550 5.7.26 unauthenticated mail is not accepted (DMARC)",
            "550 5.7.25 no PTR record",
            "550 5.7.501 spam abuse detected from your account",
            "550 5.1.90 daily limit for message recipients",
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example",
            "554 5.7.1 <a@b.test>: Relay access denied",
            "550 relaying not allowed, authenticate first",
            "502 5.5.1 not implemented",
            "521 5.3.2 takes no mail",
            "550 user has exceeded the sending quota of the account",
        ],
    )
    def test_at_any_command(self, stage, said):
        assert verdict(stage, said) == "us"

    @pytest.mark.parametrize("code", [500, 502, 504, 521, 530, 534, 535, 538])
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    def test_by_its_code_alone(self, stage, code):
        """Whatever the words are, and whatever else of ours is taken meanwhile."""
        for words in ("no", "5.5.2 rejected", "5.0.0 rejected"):
            for delivering in (False, True):
                assert verdict(stage, f"{code} {words}", delivering=delivering) == "us", words

    @pytest.mark.parametrize(
        "said",
        [
            "553 5.7.1 <a@b.test>: Sender address rejected: not owned by user ada",
            "553 5.1.8 bad sender",
            "550 5.1.7 bad sender syntax",
            "550 5.7.60 client does not have permissions to send as this sender",
            "554 5.2.252 SendAsDenied",
            "550 5.7.1 not authorized to send from this address",
        ],
    )
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    def test_of_our_sender(self, stage, said):
        assert verdict(stage, said) == "sender"

    @pytest.mark.parametrize("said", ["550 no such sender", "553 no", "501 5.5.4 bad"])
    def test_mail_names_nobody_else(self, said):
        assert verdict("mail", said) == "sender"

    def test_words_do_not_count_while_it_takes_other_mail(self):
        said = "554 5.7.1 <a@b.test>: Relay access denied"
        assert verdict("rcpt", said, delivering=True) == "refused"
        assert verdict("rcpt", "550 5.4.5 limit", delivering=True) == "us"


class TestOfTheMoment:
    @pytest.mark.parametrize(
        ("stage", "said", "expected"),
        [
            ("rcpt", "452 4.5.3 too many recipients", "crowded"),
            ("rcpt", "452 too many recipients", "crowded"),
            ("rcpt", "552 5.5.3 too many recipients", "crowded"),
            ("mail", "454 4.7.0 slow down", "throttled"),
            ("rcpt", "450 4.7.1 too many messages per minute", "throttled"),
            ("data", "451 4.7.0 rate limit", "throttled"),
            ("mail", "452 4.3.1 come back later", "later"),
            ("mail", "451 4.3.0 busy", "later"),
            ("mail", "421 4.3.2 closing", "gone"),
            ("rcpt", "503 5.5.1 MAIL first", "gone"),
            ("rcpt", "354 go on", "gone"),
            ("mail", "150 what", "gone"),
        ],
    )
    def test_is_no_refusal(self, stage, said, expected):
        assert verdict(stage, said) == expected

    @pytest.mark.parametrize("said", ["250 OK", "251 will forward", "252 cannot verify"])
    def test_yes_goes_on(self, said):
        assert verdict("rcpt", said) == "yes"


class TestReply:
    @pytest.mark.parametrize(
        ("code", "text", "expected"),
        [
            (550, "5.1.1 no", "1.1"),
            (550, "5.1.01 no", "1.1"),
            (550, "4.1.1 another class than the code", None),
            (550, "no 5.1.1", None),
            (None, "5.1.1", None),
        ],
    )
    def test_enhanced_code(self, code, text, expected):
        assert Reply(code, text).enhanced == expected
