"""The console's pages, one file each. A page asks the API, draws, and stops."""
