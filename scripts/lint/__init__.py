"""The repository's own laws, as programs: import contracts and small lint rules."""
