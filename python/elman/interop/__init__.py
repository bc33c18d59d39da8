"""Import from, and export to, other frameworks.

Each folder has the same files: `__init__` holds the public functions, `file` or `model` parses the
source, `reading` builds the network, `writing` exports one, and `running` runs the source in its
own framework, which no other file imports.
"""
