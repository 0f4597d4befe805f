"""The autotune store: what tuning found out, kept in memory, SQLite or Redis. See docs/store.md."""
