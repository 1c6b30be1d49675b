"""A release: wheel and sdist are built, checked, and the wheel is tried in an empty environment (``make dist``).

- ``__main__``: the command
- ``agreement``: whether version, CITATION.cff and CHANGELOG.md say the same
- ``contents``: what must be in the wheel and the sdist
- ``trial``: installs the wheel elsewhere and runs the demo from there
"""
