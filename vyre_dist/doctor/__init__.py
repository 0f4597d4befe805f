"""What this machine offers a scan: checks that are bounded in time, each with its cure.

A check imports what it looks at when it runs, in a process of its own: nothing else need be
installed, and what hangs or crashes is told like any other fault.
"""
