"""The driver: plans a scan, feeds a pool of workers, merges what they report. It never sees a
document's bytes.
"""
