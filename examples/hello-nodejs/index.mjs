/** Answers `{"message":"Hello, NAME!"}`; the name comes from the event, the query or a JSON body. */
export async function handler(event) {
  const name = event.name ?? event.queryStringParameters?.name ?? nameInBody(event) ?? "World";
  console.log("greeting", name);
  return { message: `Hello, ${name}!` };
}

/** An HTTP request arrives as an event with its body as text. */
function nameInBody(event) {
  if (!event.body) return undefined;
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  return JSON.parse(body).name;
}
