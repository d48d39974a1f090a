"""From a generic process to a function that is ready, and then the loop of calls."""

import os
import sys
import time

from .connection import INIT_ERROR, READY, REHEARSE, REHEARSED, Connection, frame
from .faults import Fault, describe
from .imports import Watch
from .logs import Sink, set_up_logging
from .payload import dumps, loads

_INIT_FAILED_EXIT_CODE = 1


def main(has_rehearsed=False):
    connection = Connection(os.environ.pop("_LAMBDAD_SOCKET"))
    descriptor = os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    kind, _, label, body = connection.receive()
    if kind == REHEARSE:
        if not has_rehearsed:
            from .rehearsal import rehearse

            rehearse(label, body)
        connection.send(frame(REHEARSED, 0))
        _, _, label, body = connection.receive()
    specialisation = loads(label)
    os.environ.update(specialisation["environment"])
    # Read at the start of the process, which may have been before there was a function.
    time.tzset()
    pack = connection.receive()[3] if specialisation["awaitsCode"] else body
    os.chdir(specialisation["taskRoot"])
    sys.path[:] = search_path(specialisation["taskRoot"], specialisation["optDir"])
    # Whole lines at once: `print` writes a text and its end in two pieces.
    sys.stdout.reconfigure(line_buffering=True)
    _offer_exit()
    sink = _open_sink(descriptor)
    set_up_logging(sink)
    end_pack = _use_pack(pack, specialisation["taskRoot"])
    watch = Watch()
    try:
        handler = load_handler(specialisation["handler"])
    except Exception as error:
        _fail_init(connection, sink, describe(error))
    # What is imported later is read as usual: the pack would stay in memory for it.
    end_pack()
    del pack, body
    from .serve import serve

    connection.send(frame(READY, 0, ",".join(watch.noticed(specialisation["taskRoot"])).encode()))
    del watch
    serve(connection, handler, sink, specialisation)


def load_handler(name):
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise Fault("MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)")
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault("BuiltInModuleConflict", message)
    dotted = module_name.replace("/", ".")
    try:
        __import__(dotted)
    except ImportError as error:
        raise Fault("ImportModuleError", f"Unable to import module '{module_name}': {error}") from None
    except SyntaxError as error:
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault("UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", [place]) from None
    try:
        return getattr(sys.modules[dotted], function_name)
    except AttributeError:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Fault("HandlerNotFound", message) from None


def _use_pack(pack, task_root):
    if not pack:
        return lambda: None
    from .unpack import use_pack

    return use_pack(pack, task_root)


def search_path(task_root, opt_dir):
    """The code, layers, PYTHONPATH, the standard library, and what `site` would have added (but for .pth files)."""
    version = "python%d.%d" % sys.version_info[:2]
    layers = [f"{opt_dir}/python/lib/{version}/site-packages", f"{opt_dir}/python"]
    # The first entry is this runtime's folder: a function must not find our modules for its own.
    found = [*filter(os.path.isdir, layers), *sys.path[1:], *installed_folders()]
    return [task_root, *(folder for folder in dict.fromkeys(found) if folder != task_root)]


# They are the same for all forks.
_installed_folders = None


def installed_folders():
    """Where packages are that were installed with the interpreter."""
    global _installed_folders
    if _installed_folders is not None:
        return _installed_folders
    version = "python%d.%d" % sys.version_info[:2]
    prefixes = [sys.prefix]
    environment = os.path.dirname(os.path.dirname(sys.executable))
    if os.path.exists(environment + "/pyvenv.cfg"):
        prefixes.insert(0, environment)
    installed = [f"{prefix}/lib/{version}/site-packages" for prefix in prefixes]
    if sys.prefix == "/usr":
        installed += [f"/usr/local/lib/{version}/dist-packages", "/usr/lib/python3/dist-packages"]
    _installed_folders = list(filter(os.path.isdir, installed))
    return _installed_folders


def _offer_exit():
    """`site` defines these two; functions call them."""
    import builtins
    from _sitebuiltins import Quitter

    builtins.exit = Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = Quitter("quit", "Ctrl-D (i.e. EOF)")


def _open_sink(descriptor):
    is_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    if descriptor is None:
        return Sink(None, is_json)
    os.set_inheritable(int(descriptor), False)
    return Sink(int(descriptor), is_json)


def _fail_init(connection, sink, result):
    import logging

    logging.warning("LAMBDA_WARNING: Unhandled exception. The function could not be loaded; its error follows.")
    sink.log_error(result)
    connection.send(frame(INIT_ERROR, 0, result["errorType"].encode(), dumps(result, True).encode()))
    sys.exit(_INIT_FAILED_EXIT_CODE)
