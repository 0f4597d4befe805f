"""What a device's rows mean to the host: where to search for which rule, and which matches stand.

`layout` says how rows and matches lie in memory, `reading` where to search, `settling` which of the
device's matches need no search. The launches that make rows are in kernels/cuda. Nothing in here
needs CuPy: extraction workers, which have no GPU, read rows, too.
"""
