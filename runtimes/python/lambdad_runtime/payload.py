"""JSON in and out, by the C scanner and encoder that the json module is built on.

Importing json itself costs more than the interpreter's start (it brings re and enum). What these do not manage is done
by json, so errors read as usual.

Results are written as Lambda does (simplejson): Decimal as a number, NaN allowed, bytes inside as UTF-8 text, and text
beyond ASCII unescaped from Python 3.12 on.
"""

import _json
from types import SimpleNamespace

_CONSTANTS = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}

_scan = _json.make_scanner(
    SimpleNamespace(
        strict=True,
        object_hook=None,
        object_pairs_hook=None,
        parse_float=float,
        parse_int=int,
        parse_constant=_CONSTANTS.__getitem__,
    )
)


def loads(data):
    """Raises what json.loads raises."""
    try:
        text = data.decode("utf-8").strip(" \t\r\n")
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, ValueError, SystemError):
        # SystemError: the scanner names its error by json.decoder, and does not import that itself.
        pass
    import json

    return json.loads(data)


class _NeedsSlowWay(Exception):
    pass


def dumps(value, escapes_unicode):
    """Raises TypeError or ValueError for what JSON cannot say."""
    encode_text = _json.encode_basestring_ascii if escapes_unicode else _json.encode_basestring
    try:
        return "".join(_json.make_encoder({}, _default, encode_text, None, ": ", ", ", False, False, True)(value, 0))
    except _NeedsSlowWay:
        return _dumps_with_decimals(value, escapes_unicode)


def _default(value):
    if type(value).__name__ == "Decimal":
        raise _NeedsSlowWay
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _dumps_with_decimals(value, escapes_unicode):
    """The C encoder cannot write a number that is no float or int; text marks its place and is replaced behind it."""
    from decimal import Decimal
    from os import urandom

    mark = urandom(16).hex()
    numbers = []

    def default(inner):
        if not isinstance(inner, Decimal):
            return _default(inner)
        if inner.is_nan():
            return float("nan")
        numbers.append(str(inner))
        return mark

    encode_text = _json.encode_basestring_ascii if escapes_unicode else _json.encode_basestring
    text = "".join(_json.make_encoder({}, default, encode_text, None, ": ", ", ", False, False, True)(value, 0))
    pieces = text.split(f'"{mark}"')
    return "".join(piece + number for piece, number in zip(pieces, numbers + [""]))
