"""Networks from other frameworks and to them; no file here imports a framework by itself.

A file `NAME.py` has `read`, which returns an `Imported`, and the functions that turn a network into
what NAME understands. The public names (`elman.from_torch`, `elman.to_onnx`, ...) are thin.
"""
