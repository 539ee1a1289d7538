"""Benchmarks: what the platform does in a second, beside a reference measured in the same run."""
