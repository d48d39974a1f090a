from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(service="greeting")
metrics = Metrics(namespace="tests", service="greeting")


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    logger.info("greeting", who=event["name"])
    metrics.add_metric(name="greetings", unit=MetricUnit.Count, value=1)
    return f"hello {event['name']}"
