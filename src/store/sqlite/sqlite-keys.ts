import type { KeyStore } from "../store.ts";
import type { Access } from "./access.ts";
import { KEY_ROW, keyDocument, parseKey } from "./documents.ts";

/** The keys in SQLite: reads here, writes by the writer. */
export function openKeys({ read, write }: Access): KeyStore {
  return {
    async findKey(id) {
      const row = read((db) => db.get(`SELECT ${KEY_ROW} FROM access_key WHERE id = ?`, id));
      return row && parseKey(row);
    },
    async listKeys() {
      return read((db) => db.all(`SELECT ${KEY_ROW} FROM access_key ORDER BY id`)).map(parseKey);
    },
    saveKey: (key) => write("saveKey", { id: key.id, ...keyDocument(key) }),
  };
}
