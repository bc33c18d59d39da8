"""Networks from other frameworks and to them.

Each folder has the same files: `__init__` the public functions, `file` or `model` what a source
says, `reading` the network that it is, `writing` the way back, `running` the source in its own
framework, which no other file imports.
"""
