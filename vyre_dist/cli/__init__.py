"""The command line. Options in, calls to the layers below; no decision about a scan is made in
here.
"""

from vyre_dist.import_path import guard_this_process

# before anything else is imported
guard_this_process()
