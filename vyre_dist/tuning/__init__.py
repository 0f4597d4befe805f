"""Tuning's pure logic: what is compared, how, and when it is worth it. No I/O, no clock."""
