"""A trained policy as a folder of its own, which acts without this library.

- ``write``: makes the folder: graph, description, model card, checks before it is kept
- ``graph``: the policy as one graph, from the log's units to the log's units
- ``reference``: the support check inside that graph
- ``formats``: ONNX and ``torch.export``: writing a graph, and running what was written
- ``agreement``: whether the graph does what the agent does
- ``about``: the content of ``policy.json``
- ``worth``: verdict, value and return, as far as they are known
- ``card``: the model card
- ``folder``: files that are complete or not there, their SHA-256, and their check
- ``act``: the file of that name in an export; of this library only ``hub`` imports it
"""
