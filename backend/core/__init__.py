"""Ground floor: the vocabulary every manager shares. Imports nothing of ours."""
