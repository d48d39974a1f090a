import base64
import json


def handler(event, context):
    """Answers {"message": "Hello, NAME!"}; the name comes from the event, the query or a JSON body."""
    query = event.get("queryStringParameters") or {}
    name = event.get("name") or query.get("name") or name_in_body(event) or "World"
    print("greeting", name)
    return {"message": f"Hello, {name}!"}


def name_in_body(event):
    """An HTTP request arrives as an event with its body as text."""
    body = event.get("body")
    if not body:
        return None
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body)
    return json.loads(body).get("name")
