import { Logger } from "@aws-lambda-powertools/logger";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";

const logger = new Logger({ serviceName: "greeting" });
const metrics = new Metrics({ namespace: "tests", serviceName: "greeting" });

export const handler = async (event, context) => {
  logger.addContext(context);
  logger.info("greeting", { who: event.name });
  metrics.captureColdStartMetric();
  metrics.addMetric("greetings", MetricUnit.Count, 1);
  metrics.publishStoredMetrics();
  return `hello ${event.name}`;
};
