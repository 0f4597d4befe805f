"""The command line: it parses options, calls the layers below and prints. It decides nothing about
a scan: see vyre_dist.runs.
"""

from vyre_dist.import_path import guard_this_process

# before anything else is imported
guard_this_process()
