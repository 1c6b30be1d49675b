"""Runs in a child process: pyarrow parses files that someone else wrote, and a crash or a bomb harms only the child.

``_process`` starts the child, ``_arrow`` talks to it. The child imports nothing else of ``prudent.data``: that would
import torch, which takes longer than most files. Its errors do not name the file; the parent adds the name.

- ``main``: the conversation with the parent, and the limits of memory and processor time
- ``columns``: columns of pyarrow as plain arrays
- ``parquet``: Parquet, batch by batch
- ``csv``: CSV, gzipped or not, block by block; ``cells`` chooses exact types for its columns
- ``ipc``: Arrow files of Minari, checked before Minari reads them
"""
