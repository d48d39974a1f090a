import type { LayerVersion } from "../../core/function.ts";
import { layerDocument } from "./documents.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the layers. */
export interface LayerOperations {
  publishLayer: {
    readonly args: { readonly layer: Omit<LayerVersion, "number"> };
    readonly result: number;
  };
  deleteLayerVersion: {
    readonly args: { readonly layerName: string; readonly number: number };
    readonly result: boolean;
  };
}

export const layerOperations: Performers<LayerOperations> = {
  publishLayer(connection, { layer }) {
    connection.run(
      "INSERT INTO layer (name, newest) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET newest = newest + 1",
      layer.layerName,
    );
    const number = Number(connection.get("SELECT newest FROM layer WHERE name = ?", layer.layerName)?.newest);
    const { text, checksum } = layerDocument({ ...layer, number });
    connection.run(
      "INSERT INTO layer_version (layer_name, number, tree_id, archive_sha256, document, checksum) VALUES (?, ?, ?, ?, ?, ?)",
      layer.layerName,
      number,
      layer.code.treeId,
      layer.code.archiveSha256,
      text,
      checksum,
    );
    return number;
  },
  deleteLayerVersion: (connection, { layerName, number }) =>
    connection.run("DELETE FROM layer_version WHERE layer_name = ? AND number = ?", layerName, number) > 0,
};
