"""Speculative dispatch: reports and their wire tail, the speculator, the variant race, and the
routing.
"""
