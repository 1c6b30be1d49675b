"""Runs in a child process: here pyarrow parses files that someone else wrote, so a crash or a bomb stays in here.

``_process`` starts it, ``_arrow`` talks with it. Nothing of ``prudent.data`` beside this folder is imported in the
child: that would import torch, which takes longer than most files. Errors do not name the file, the parent does.

- ``main``: the conversation with the parent, and the limits of memory and processor time
- ``columns``: columns of pyarrow as plain arrays
- ``parquet``: Parquet, batch by batch
- ``csv``: CSV, gzipped or not, block by block
- ``ipc``: Arrow files of Minari, checked before Minari reads them
"""
