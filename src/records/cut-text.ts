/** The beginning of a text that fits into so many bytes of UTF-8, never with half a character. */
export function cutText(
  text: string,
  bytesMax: number,
): { readonly text: string; readonly bytes: number; readonly cutBytes: number } {
  const bytes = Buffer.byteLength(text);
  if (bytes <= bytesMax) return { text, bytes, cutBytes: 0 };
  const encoded = Buffer.from(text);
  let end = bytesMax;
  while (end > 0 && isContinuation(encoded[end])) end--;
  return { text: encoded.toString("utf8", 0, end), bytes: end, cutBytes: bytes - end };
}

/** The end of a text that fits into so many bytes of UTF-8, likewise. */
export function endOfText(text: string, bytesMax: number): string {
  const encoded = Buffer.from(text);
  let start = Math.max(0, encoded.length - bytesMax);
  while (isContinuation(encoded[start])) start++;
  return encoded.toString("utf8", start);
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
