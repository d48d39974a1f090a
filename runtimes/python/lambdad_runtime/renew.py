"""What a fork must have of its own, of modules that were loaded before it was made and do not see to it themselves."""

import os
import sys


def renew():
    if "_ssl" in sys.modules:
        # OpenSSL tells forks from their parents by their process ids, which are equal in namespaces of their own.
        sys.modules["_ssl"].RAND_add(os.urandom(48), 48)
    processes = sys.modules.get("multiprocessing.process")
    if processes:
        processes.current_process().authkey = os.urandom(32)
    numbers = sys.modules.get("numpy.random")
    if numbers:
        numbers.seed()
