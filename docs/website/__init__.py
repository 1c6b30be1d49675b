"""The documentation site (``make site``): stages pages, runs tutorials, calls MkDocs and checks what it built.

- ``__main__``: the command
- ``sources``: which file of the repository becomes which page
- ``markdown``: what GitHub renders and Python-Markdown does not: links to the repository, lists, formulas
- ``blocks``: runs the blocks of a page that are marked as runnable, and puts what they print below them
- ``api``: a page for each room of the library, made of its docstrings; ``docstrings`` turns those into Markdown
- ``built``: checks the HTML: no dead link, nothing fetched from elsewhere, every public name there

``mkdocs.yml`` are MkDocs' settings, to which the pages of the API are added; ``style.css`` is the site's own style.
"""
