"""Operations of the Lambda API and of CloudWatch Logs, by boto3, its waiters and its paginators.

Called by boto3.test.ts: the address, a key and its secret are arguments; the operations that were answered as they should
be are printed as JSON.
"""

import io
import json
import sys
import time
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, KEY, SECRET, QUEUE = sys.argv[1:5]
ROLE = "arn:aws:iam::000000000000:role/service"


def client(service):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(retries={"max_attempts": 0}),
    )


def archive(code):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("index.mjs", code)
    return data.getvalue()


aws = client("lambda")
proved = set()
aws.meta.events.register("after-call.lambda", lambda model, **_: proved.add(model.name))


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError("expected " + code)


ECHO = archive("export const handler = async (event) => { console.log('seen', event.a); return event; };")
F = {"FunctionName": "f"}

made = aws.create_function(**F, Role=ROLE, Runtime="nodejs24.x", Handler="index.handler", Code={"ZipFile": ECHO})
assert made["State"] == "Pending"
fast = {"Delay": 1, "MaxAttempts": 3}
for waiter in ("function_exists", "function_active", "function_active_v2"):
    aws.get_waiter(waiter).wait(**F, WaiterConfig=fast)
aws.update_function_code(**F, ZipFile=ECHO)
aws.get_waiter("function_updated").wait(**F, WaiterConfig=fast)
aws.update_function_configuration(**F, Timeout=7, VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})
aws.get_waiter("function_updated_v2").wait(**F, WaiterConfig=fast)
assert aws.get_function_configuration(**F)["VpcConfig"]["SubnetIds"] == ["subnet-1"]
assert aws.publish_version(**F)["Version"] == "1"
aws.get_waiter("published_version_active").wait(**F, Qualifier="1", WaiterConfig=fast)
pages = aws.get_paginator("list_versions_by_function").paginate(**F, PaginationConfig={"PageSize": 1})
assert [version["Version"] for page in pages for version in page["Versions"]] == ["$LATEST", "1"]
assert [one["FunctionName"] for page in aws.get_paginator("list_functions").paginate() for one in page["Functions"]] == ["f"]

aws.create_alias(**F, Name="live", FunctionVersion="1")
aws.update_alias(**F, Name="live", Description="what runs")
assert aws.get_alias(**F, Name="live")["Description"] == "what runs"
assert len(aws.list_aliases(**F)["Aliases"]) == 1

answer = aws.invoke(**F, Qualifier="live", Payload=b'{"a":1}', LogType="Tail")
assert json.loads(answer["Payload"].read()) == {"a": 1} and answer["ExecutedVersion"] == "1"
assert aws.invoke(**F, InvocationType="DryRun")["StatusCode"] == 204
assert aws.invoke(**F, InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
stream = aws.invoke_with_response_stream(**F, Payload=b'{"b":2}')["EventStream"]
chunks = b"".join(event["PayloadChunk"]["Payload"] for event in stream if "PayloadChunk" in event)
assert json.loads(chunks) == {"b": 2}

aws.add_permission(**F, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::b")
assert json.loads(aws.get_policy(**F)["Policy"])["Statement"][0]["Sid"] == "s"
aws.remove_permission(**F, StatementId="s")
refused("ResourceNotFoundException", aws.get_policy, **F)

url = aws.create_function_url_config(**F, AuthType="NONE", Cors={"AllowOrigins": ["*"]})
assert url["FunctionUrl"].endswith("/")
aws.update_function_url_config(**F, InvokeMode="RESPONSE_STREAM")
assert aws.get_function_url_config(**F)["InvokeMode"] == "RESPONSE_STREAM"
assert len(aws.list_function_url_configs(**F)["FunctionUrlConfigs"]) == 1
aws.delete_function_url_config(**F)

aws.put_function_concurrency(**F, ReservedConcurrentExecutions=3)
assert aws.get_function_concurrency(**F)["ReservedConcurrentExecutions"] == 3
aws.put_provisioned_concurrency_config(**F, Qualifier="live", ProvisionedConcurrentExecutions=1)
aws.get_provisioned_concurrency_config(**F, Qualifier="live")
assert len(aws.list_provisioned_concurrency_configs(**F)["ProvisionedConcurrencyConfigs"]) == 1
aws.delete_provisioned_concurrency_config(**F, Qualifier="live")
aws.delete_function_concurrency(**F)

arn = made["FunctionArn"]
aws.tag_resource(Resource=arn, Tags={"a": "b"})
assert aws.list_tags(Resource=arn)["Tags"] == {"a": "b"}
aws.untag_resource(Resource=arn, TagKeys=["a"])
aws.put_runtime_management_config(**F, UpdateRuntimeOn="FunctionUpdate")
assert aws.get_runtime_management_config(**F)["UpdateRuntimeOn"] == "FunctionUpdate"
aws.put_function_recursion_config(**F, RecursiveLoop="Allow")
assert aws.get_function_recursion_config(**F)["RecursiveLoop"] == "Allow"
aws.put_function_event_invoke_config(**F, MaximumRetryAttempts=1)
aws.update_function_event_invoke_config(**F, MaximumEventAgeInSeconds=90)
assert aws.get_function_event_invoke_config(**F)["MaximumEventAgeInSeconds"] == 90
assert len(aws.list_function_event_invoke_configs(**F)["FunctionEventInvokeConfigs"]) == 1
aws.delete_function_event_invoke_config(**F)
aws.get_function_code_signing_config(**F)
assert aws.get_account_settings()["AccountUsage"]["FunctionCount"] == 1

layer = aws.publish_layer_version(LayerName="l", Content={"ZipFile": ECHO})
aws.get_layer_version(LayerName="l", VersionNumber=1)
aws.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])
assert len(aws.list_layer_versions(LayerName="l")["LayerVersions"]) == 1
assert len(aws.list_layers()["Layers"]) == 1
aws.delete_layer_version(LayerName="l", VersionNumber=1)
mapping = aws.create_event_source_mapping(**F, EventSourceArn=QUEUE, FunctionResponseTypes=["ReportBatchItemFailures"])
uuid = mapping["UUID"]
assert mapping["State"] == "Creating" and mapping["BatchSize"] == 10
deadline = time.monotonic() + 60
while aws.get_event_source_mapping(UUID=uuid).get("LastProcessingResult") != "OK":
    assert time.monotonic() < deadline
    time.sleep(0.1)
assert aws.update_event_source_mapping(UUID=uuid, BatchSize=2)["BatchSize"] == 2
pages = aws.get_paginator("list_event_source_mappings").paginate(**F, PaginationConfig={"PageSize": 1})
assert [one["UUID"] for page in pages for one in page["EventSourceMappings"]] == [uuid]
assert aws.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
refused("ResourceNotFoundException", aws.get_event_source_mapping, UUID=uuid)
assert aws.list_code_signing_configs()["CodeSigningConfigs"] == []

logs = client("logs")
group = "/aws/lambda/f"
assert logs.describe_log_groups()["logGroups"][0]["logGroupName"] == group
pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 2})
events = [event for page in pages for event in page["events"]]
assert any("seen 1" in event["message"] for event in events), events
assert len({event["eventId"] for event in events}) == len(events)
stream = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"][0]
first = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
assert first["events"] and first["nextForwardToken"].startswith("f/")
logs.put_retention_policy(logGroupName=group, retentionInDays=7)
assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"] == 7
logs.delete_retention_policy(logGroupName=group)

aws.delete_alias(**F, Name="live")
aws.delete_function(**F)
refused("ResourceNotFoundException", aws.get_function, **F)

print(json.dumps(sorted(proved)))
