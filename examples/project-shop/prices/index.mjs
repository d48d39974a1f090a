const PRICES = { tea: 4, coffee: 7 };

/** What an item costs; the item comes from the query of a request, or from the event of a schedule. */
export async function handler(event) {
  const item = event.queryStringParameters?.item ?? event.item;
  const price = PRICES[item] ?? 1;
  console.log("price of", item, price);
  return { item, price, currency: process.env.CURRENCY };
}
