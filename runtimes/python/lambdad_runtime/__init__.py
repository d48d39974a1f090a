"""The managed Python runtime: runs inside a sandbox, one process per instance, and turns frames into handler calls.

It starts generic (connected, waiting); the first frame makes it one function's. Start time is what this package is
written for: json, logging, re, socket and traceback each cost as much as the interpreter's own start, so none of them is
imported before the function or a failure needs it.
"""
