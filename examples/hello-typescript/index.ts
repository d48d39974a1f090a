interface Greeting {
  readonly message: string;
}

/** An invocation's own JSON, or an HTTP request in payload format 2.0. */
interface Event {
  readonly name?: string;
  readonly queryStringParameters?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
}

export async function handler(event: Event): Promise<Greeting> {
  const name = event.name ?? event.queryStringParameters?.name ?? nameInBody(event) ?? "World";
  return { message: `Hello, ${name}!` };
}

function nameInBody({ body, isBase64Encoded }: Event): string | undefined {
  if (!body) return undefined;
  const parsed: unknown = JSON.parse(isBase64Encoded ? Buffer.from(body, "base64").toString() : body);
  if (typeof parsed !== "object" || parsed === null || !("name" in parsed)) return undefined;
  return String(parsed.name);
}
