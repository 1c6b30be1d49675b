"""What a policy earns in its environment.

- ``rollouts``: running the policies
- ``result``: the episodes and the figures made of them
- ``video``: a film of one episode
- ``q_curve``: at which step the values of the data were highest
"""
