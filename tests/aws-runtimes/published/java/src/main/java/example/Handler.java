package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

/** Echoes its event, or fails when it is asked to. */
public class Handler implements RequestHandler<Map<String, Object>, Map<String, Object>> {
  @Override
  public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
    context.getLogger().log("served by Java " + context.getAwsRequestId() + "\n");
    if (Boolean.TRUE.equals(event.get("fail"))) throw new IllegalStateException("asked to fail");
    return Map.of("echo", event, "arn", context.getInvokedFunctionArn(), "id", context.getAwsRequestId());
  }
}
