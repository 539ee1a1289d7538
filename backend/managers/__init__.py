"""The rooms. Each package's ``__init__`` is its only door."""
