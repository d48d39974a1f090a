"""Makes a pack of a function's modules, on stdout: what the interpreter compiles of them, so that no start has to.

Compiles all the code there is, and runs none of it.

  u32 length of the index (little-endian) | index, marshalled | marshalled code objects, one after the other
  index: (magic number of the bytecode, {path below the code's folder: (at, length)})

`python3 pack.py CODE_FOLDER`
"""

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

_BYTES_MAX = 8 * 1024 * 1024
_SOURCE_BYTES_MAX = 1024 * 1024


def main(task_root):
    places = {}
    parts = []
    size = 0
    for path in _sources(task_root):
        file = os.path.join(task_root, path)
        try:
            with open(file, "rb") as source:
                code = marshal.dumps(compile(source.read(_SOURCE_BYTES_MAX), file, "exec", dont_inherit=True))
        except (SyntaxError, ValueError, OSError, RecursionError):
            # Who imports it will see why.
            continue
        if size + len(code) > _BYTES_MAX:
            break
        places[path] = (size, len(code))
        parts.append(code)
        size += len(code)
    index = marshal.dumps((MAGIC_NUMBER, places))
    sys.stdout.buffer.write(b"".join((len(index).to_bytes(4, "little"), index, *parts)))


def _sources(task_root):
    """Nearest to the top first: what does not fit in is then what is imported least."""
    found = []
    for folder, _, names in os.walk(task_root):
        below = os.path.relpath(folder, task_root)
        for name in names:
            if name.endswith(".py"):
                found.append(os.path.normpath(os.path.join(below, name)))
    return sorted(found, key=lambda path: (path.count("/"), path))


main(sys.argv[1])
