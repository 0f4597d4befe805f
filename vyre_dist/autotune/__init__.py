"""What tuning found out, and where it is kept: records, codec, stores (memory, SQLite, Redis,
tiered).
"""
