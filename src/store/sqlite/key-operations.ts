import type { Document } from "./documents.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the keys. */
export interface KeyOperations {
  saveKey: { readonly args: KeyRow; readonly result: undefined };
}

export interface KeyRow extends Document {
  readonly id: string;
}

export const keyOperations: Performers<KeyOperations> = {
  saveKey(connection, { id, text, checksum }) {
    connection.run(
      "INSERT INTO access_key (id, document, checksum) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document, checksum = excluded.checksum",
      id,
      text,
      checksum,
    );
  },
};
