import sys


def handler(event, context):
    if event.get("fail"):
        raise LookupError("asked to fail")
    print("served by awslambdaric")
    return {"echo": event, "id": context.aws_request_id, "client": "awslambdaric" in sys.modules}
