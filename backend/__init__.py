"""The backend: HTTP API, job workers and scheduler of Email Sender."""

__version__ = "0.1.0"
