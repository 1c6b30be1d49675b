"""Files that someone else wrote, read as datasets: sizes are counted first, nothing in a file is run, no link followed.

One file per format, each with ``read``:

- ``npz``: arrays named ``observations``, ``actions``, ``rewards`` ...
- ``hdf5``: finds the reader for the layout of an HDF5 file
- ``d4rl``: flat HDF5 as D4RL, d4rl-pybullet and d3rlpy 1.x write it
- ``d3rlpy``: HDF5 of d3rlpy 2.x, numbered arrays per episode
- ``robomimic``: HDF5 of robomimic, a group per demonstration
- ``replay_buffer``: Stable-Baselines3's replay buffers in an npz file
- ``minari``: Minari datasets, HDF5 or Arrow; ``_minari_files`` checks their files first
- ``table``: CSV and Parquet; ``mapping`` says which column means what, ``_roles`` checks each column,
  ``_encode`` turns categories, labels and missing cells into numbers
- ``stream``: the same datasets block by block, for files larger than memory
- ``own``: readers that installed packages offer, by the suffix of a file
- ``provenance``: what an HDF5 file says about how it was made

What they share:

- ``declared``: what the user says about the data: bounds, kind of actions, ends of episodes
- ``_bounds``: action bounds that a file leaves open on some sides
- ``_budget``: how many bytes a file may ask for
- ``_hdf5``: opening HDF5 without following a link
- ``_tree``: which arrays an HDF5 file holds
- ``_ends``: columns that mark ends of episodes, under every name that the field has for them
- ``_clues``: counters that begin anew, lengths of episodes, and other signs of their ends
- ``_zip``: opening zip archives whose list of entries fits the file
- ``_keys``: keys that nobody reads, and columns under a wrong name
- ``_names``: what a file of this library says that its columns are called
- ``_sound``: the episodes of a table without those that have a bad row
- ``_arrow``: the columns of CSV, Parquet and Arrow files, by way of the child process
- ``_process``: starts, limits and ends the child process
- ``child``: what runs in the child process: pyarrow
"""
