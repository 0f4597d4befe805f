"""The simulator: real driver, plan, ledger, parts and merge in a made-up world that a seed decides.

world.py has time, chance and processes; storage.py the disk and the objects; corpus.py the
documents and what scanning them gives, auditing.py what auditing them does; workers.py the pool;
autotune_stores.py what it learns from; drivers.py one driver's life; schedule.py what a seed
decides; simulation.py all of it; checks.py what must hold.
"""
