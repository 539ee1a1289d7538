"""Drills: a real installation is broken on purpose, and everything it accepted is accounted for."""
