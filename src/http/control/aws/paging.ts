import { PlatformError } from "../../../core/errors.ts";

/** Markers are opaque to clients; inside is where the next page begins. */
export function encodeMarker(position: string): string {
  return Buffer.from(position).toString("base64url");
}

/** @throws PlatformError `InvalidRequest` for what was not made here. */
export function decodeMarker(marker: string | undefined): string | undefined {
  if (marker === undefined || marker === "") return undefined;
  const position = Buffer.from(marker, "base64url").toString();
  if (encodeMarker(position) !== marker) {
    throw new PlatformError(
      "InvalidRequest",
      `Marker: expected one from an answer before, got ${JSON.stringify(marker)}`,
    );
  }
  return position;
}

/** One page of what is in memory anyway; items are told apart by `keyOf`, in their order. */
export function pageOf<Item>(
  items: readonly Item[],
  page: { readonly marker: string | undefined; readonly itemsMax: number },
  keyOf: (item: Item) => string,
): { readonly items: readonly Item[]; readonly next: { readonly NextMarker?: string } } {
  const after = decodeMarker(page.marker);
  const sorted = [...items].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const rest = after === undefined ? sorted : sorted.filter((item) => keyOf(item) > after);
  const shown = rest.slice(0, page.itemsMax);
  const last = shown.at(-1);
  return {
    items: shown,
    next: last !== undefined && rest.length > shown.length ? { NextMarker: encodeMarker(keyOf(last)) } : {},
  };
}
