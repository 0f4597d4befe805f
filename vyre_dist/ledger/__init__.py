"""The ledger of a run: its directory, with all that a driver needs to go on where another ended."""
