import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

export type Row = ReturnType<StatementSync["all"]>[number];

/**
 * One connection to a database of ours, with its settings and its prepared statements. Calls block the thread they
 * are made on: microseconds for reads of a few rows, as long as the disk takes for a commit.
 */
export class Connection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws what SQLite throws; nothing is left open then. */
  static open(file: string): Connection {
    const database = new DatabaseSync(file, { timeout: BUSY_MS });
    try {
      database.exec(SETTINGS);
      return new Connection(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** From here on it refuses to write, and leaves moving the log into the database to the connection that writes. */
  becomeReader(): void {
    this.#database.exec("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0");
  }

  /** Runs statements that return nothing, which are not kept. */
  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** The number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepared(sql).run(...values).changes);
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepared(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepared(sql).all(...values);
  }

  isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Only our own process opens the database (data-folder.ts), so nobody keeps it busy for long. */
const BUSY_MS = 5_000;

/** `FULL` syncs each commit of the write-ahead log: what was acknowledged survives a power cut. */
const SETTINGS = `
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA trusted_schema = OFF;
  PRAGMA cell_size_check = ON;
  PRAGMA journal_size_limit = 67108864;
`;
