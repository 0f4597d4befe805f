"""What programs use in place of the command: Scanner, and the scan of paths that it starts.

Each module is one part of Scanner; users take its names from `vyre_dist`. The scan itself is done
by driver/ and engine/, the command is in cli/.
"""
