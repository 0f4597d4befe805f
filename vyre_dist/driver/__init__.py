"""The driver: plans a scan, feeds a pool of workers, merges results. It sees no documents."""
