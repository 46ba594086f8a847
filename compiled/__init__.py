"""The compiled core: which modules run as C extensions, how these are built, and why they do not run where they do not.

Cython compiles each module from the same ``.py`` file that runs as pure Python (docs/decisions/0024).
"""
