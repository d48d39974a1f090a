// A handler wrapped in Middy's middlewares, with its router.
import middy from "@middy/core";
import httpErrorHandler from "@middy/http-error-handler";
import httpJsonBodyParser from "@middy/http-json-body-parser";
import httpRouter from "@middy/http-router";

const hello = async (event) => ({
  statusCode: 200,
  headers: { "content-type": "application/json" },
  cookies: ["seen=yes; Path=/"],
  body: JSON.stringify({
    message: `Hello, ${event.pathParameters.name}!`,
    query: event.queryStringParameters ?? {},
  }),
});

const sum = middy()
  .use(httpJsonBodyParser())
  .handler(async (event) => ({
    statusCode: 201,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sum: event.body.numbers.reduce((total, number) => total + number, 0) }),
  }));

export const handler = middy()
  .use(httpErrorHandler({ logger: false }))
  .handler(
    httpRouter([
      { method: "GET", path: "/hello/{name}", handler: hello },
      { method: "POST", path: "/sum", handler: sum },
    ]),
  );
