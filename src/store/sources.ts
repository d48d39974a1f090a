import type { FunctionName, SourceId } from "../core/ids.ts";
import type { Source } from "../core/source.ts";

/**
 * Queues that functions are called for. What a promise of a change resolves with is on disk. They go with their
 * function.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Sources {
  /**
   * Creates the source if its generation is 1, else replaces the one before it.
   *
   * @throws PlatformError `FunctionNotFound`; `ResourceConflict` beyond `SOURCES_MAX`, or if the source was changed or
   * removed meanwhile.
   */
  save(source: Source): Promise<void>;
  find(id: SourceId): Promise<Source | undefined>;
  /** By id, ascending; `after` is exclusive. Of one function, if one is named. */
  list(page: {
    readonly functionName: FunctionName | undefined;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<Source[]>;
  remove(id: SourceId): Promise<boolean>;
}
