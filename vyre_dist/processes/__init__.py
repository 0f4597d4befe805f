"""The processes that vyre-dist starts on this machine, and the one protocol that all of them keep.

A worker of a LocalPool, an extraction worker of a GpuStream and the process that owns a GPU are
children of the one that uses them, each at the other end of a pipe:

- It is started (start.py, or fork_server.py where its parent has threads) with the signals of the
  terminal blocked: its parent ends it.
- It is told with bytes over its connection, and takes them off the pipe while it works (serve.py).
- It answers with messages: a kind, and bytes or text (messages.py). The first one says that it is
  ready, or was refused and why.
- It ends when its connection does, and is killed if it does not (child.py), which also reaps it and
  puts its death into words.

What the messages are about is not in here: see driver/worker_loop.py, driver/gpu_process.py and
stream/extraction_pool.py.
"""
