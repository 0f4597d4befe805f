"""A run: one execution of a scan, from its options to its summary.

Here the parts below meet: inputs, rule packs, a pool of workers, outputs and the autotune store.
The command line parses options, calls this package, and prints what it says. Nothing in here prints
or ends the process.
"""
