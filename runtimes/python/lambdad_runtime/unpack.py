"""Takes modules' code from a pack (pack.py), as if it were their cached bytecode. What is not in it goes the usual way."""

import marshal
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader


def use_pack(pack, task_root):
    """Gives what ends it."""
    index_end = 4 + int.from_bytes(pack[:4], "little")
    magic, places = marshal.loads(pack[4:index_end])
    if magic != MAGIC_NUMBER:
        return lambda: None
    root = task_root + "/"
    whole = memoryview(pack)
    get_usually = SourceFileLoader.get_code

    def get_code(loader, name):
        path = loader.path
        place = places.get(path[len(root) :]) if path.startswith(root) else None
        if place is None:
            return get_usually(loader, name)
        start = index_end + place[0]
        return marshal.loads(whole[start : start + place[1]])

    def stop():
        SourceFileLoader.get_code = get_usually
        places.clear()

    SourceFileLoader.get_code = get_code
    return stop
