/** `GET /orders/tea?count=3`: what so many of an item cost, by the price that function prices tells. */
export async function handler(event) {
  const item = event.pathParameters?.item ?? event.item ?? "tea";
  const count = Number(event.queryStringParameters?.count ?? event.count ?? 1);
  const { price, currency } = await priceOf(item);
  console.log("ordered", count, item);
  return { item, count, total: price * count, currency };
}

/** LAMBDAD_URL leads to the functions of the same release, whichever is live. */
async function priceOf(item) {
  const response = await fetch(`${process.env.LAMBDAD_URL}/prices?item=${encodeURIComponent(item)}`);
  if (!response.ok) throw new Error(`prices answered ${response.status}`);
  return response.json();
}
