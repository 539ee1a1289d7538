"""Entry points for people who work on Email Sender, and what they share."""
