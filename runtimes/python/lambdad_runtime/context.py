"""What a handler is given besides its event."""

import os
import time

from .faults import Fault
from .payload import loads


class LambdaContext:
    def __init__(self, head, sink):
        environ = os.environ
        self.aws_request_id = head["requestId"]
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = head["functionArn"]
        self.tenant_id = None
        self.client_context = _client_context(head.get("clientContext"))
        self.identity = CognitoIdentity()
        self._deadline_ms = head["deadlineMs"]
        self._sink = sink

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message):
        self._sink.log(str(message))

    def __repr__(self):
        members = ",".join(f"{key}={value}" for key, value in vars(self).items() if not key.startswith("_"))
        return f"LambdaContext([{members}])"


class _Members:
    """Has its slots as attributes, None where nothing was given."""

    __slots__ = ()

    def __init__(self, values=None):
        for name in self.__slots__:
            setattr(self, name, (values or {}).get(name))

    def __repr__(self):
        return f"{type(self).__name__}([{','.join(f'{name}={getattr(self, name)}' for name in self.__slots__)}])"


class CognitoIdentity(_Members):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Members):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Members):
    __slots__ = ("custom", "env", "client")


def _client_context(text):
    if text is None:
        return None
    try:
        context = ClientContext(loads(text.encode()))
        if context.client is not None:
            context.client = Client(context.client)
        return context
    except Exception as error:
        raise Fault("LambdaContextUnmarshalError", f"Unable to parse Client Context JSON: {error}") from None
