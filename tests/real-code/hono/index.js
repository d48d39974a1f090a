// A Hono application behind its own adapter for Lambda.
import { Hono } from "hono";
import { handle } from "hono/aws-lambda";

const app = new Hono();

app.get("/hello/:name", (context) => {
  context.header("Set-Cookie", "seen=yes; Path=/");
  return context.json({ message: `Hello, ${context.req.param("name")}!`, query: context.req.query() });
});

app.post("/sum", async (context) => {
  const { numbers } = await context.req.json();
  return context.json({ sum: numbers.reduce((total, number) => total + number, 0) }, 201);
});

export const handler = handle(app);
