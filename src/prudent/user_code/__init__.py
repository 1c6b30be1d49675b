"""Code that the user wrote: finding it, importing it, and its errors in one line.

Code runs only if the user named it in this command or call, or installed it as an entry point. A run folder, a
checkpoint or a suite never causes code to be imported.

- ``importing``: a file or a module that the user named, with the bytes it had
- ``entry_points``: what installed packages offer: algorithms, readers, loggers
- ``raised``: whatever such code raises, as one line with the line of the user's file
- ``working_folder``: finds a module that the user named in the working folder
"""
