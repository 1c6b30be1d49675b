"""How policies perform in their environment.

- ``rollouts``: runs the policies for some episodes
- ``result``: the episodes, and figures of returns and predicted values
- ``video``: a GIF of one episode
- ``q_curve``: at which step the average Q of the logged decisions peaked
"""
