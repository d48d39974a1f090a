import type { Layers } from "../store.ts";
import type { Access } from "./access.ts";
import { LAYER_ROW, parseLayer } from "./documents.ts";

/** No layer gets as far as that. */
const BEYOND_ALL_NUMBERS = Number.MAX_SAFE_INTEGER;

/** The layers in SQLite: reads here, writes by the writer. */
export function openLayers({ read, write }: Access): Layers {
  return {
    publish: (layer) => write("publishLayer", { layer }),
    async findVersion(layerName, number) {
      const sql = `SELECT ${LAYER_ROW} FROM layer_version WHERE layer_name = ? AND number = ?`;
      const row = read((db) => db.get(sql, layerName, number));
      return row && parseLayer(row);
    },
    async listVersions(layerName, { before, limit }) {
      const sql = `SELECT ${LAYER_ROW} FROM layer_version WHERE layer_name = ? AND number < ? ORDER BY number DESC LIMIT ?`;
      return read((db) => db.all(sql, layerName, before ?? BEYOND_ALL_NUMBERS, limit)).map(parseLayer);
    },
    async listNames({ after, limit }) {
      const sql =
        "SELECT DISTINCT layer_name FROM layer_version WHERE layer_name > ? ORDER BY layer_name LIMIT ?";
      return read((db) => db.all(sql, after ?? "", limit)).map((row) => String(row.layer_name));
    },
    deleteVersion: (layerName, number) => write("deleteLayerVersion", { layerName, number }),
  };
}
