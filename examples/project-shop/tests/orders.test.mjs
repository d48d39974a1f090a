// node --test
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, it } from "node:test";
import { handler as orders } from "../orders/index.mjs";
import { handler as prices } from "../prices/index.mjs";

/** Stands for the gateway: calls prices as it would. */
const gateway = createServer(async (request, response) => {
  const url = new URL(request.url, "http://gateway");
  const event = { queryStringParameters: Object.fromEntries(url.searchParams) };
  response.end(JSON.stringify(await prices(event)));
});

before(async () => {
  await new Promise((resolve) => gateway.listen(0, "127.0.0.1", resolve));
  process.env.LAMBDAD_URL = `http://127.0.0.1:${gateway.address().port}`;
  process.env.CURRENCY = "EUR";
});
after(() => gateway.close());

it("costs what the items cost together", async () => {
  const event = { pathParameters: { item: "coffee" }, queryStringParameters: { count: "3" } };
  assert.deepEqual(await orders(event), { item: "coffee", count: 3, total: 21, currency: "EUR" });
});
