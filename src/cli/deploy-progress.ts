import type { Output } from "./output.ts";
import { formatSpan } from "./units.ts";
import type { DeployEvent } from "./wire.ts";

const PACKAGING = 1;
const STEPS = 4;

/**
 * The running list of a deployment's steps, on stderr:
 *
 *   [1/4] Packaging hello… 2 files, 1.1 KiB
 *   [2/4] Building… nothing to build
 *
 * A line is begun when a step begins and ended with what came of it, so that on a terminal one sees what takes its
 * time; output of build tools goes between.
 */
export class DeployProgress {
  readonly #output: Output;
  /** The step whose line still waits for its result. */
  #openStep: { readonly step: number; readonly head: string } | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  /** The first step, which is done here. */
  packaged(label: string, detail: string): void {
    this.#begin({ step: PACKAGING, of: STEPS, title: `Packaging ${label}`, detail });
  }

  /** The server's own words for packaging are left out: it has been said what was packed. */
  show(event: Exclude<DeployEvent, { readonly type: "done" | "error" }>): void {
    if (event.type === "output") {
      this.end();
      this.#output.note(event.text.replace(/\n$/, ""), "dim");
    } else if (!event.title.startsWith("Packaging")) this.#begin(event);
  }

  /** The function answers calls. */
  done(readyMs: number | undefined): void {
    if (this.#openStep !== undefined && readyMs !== undefined)
      this.#output.notePart(` ready in ${formatSpan(readyMs)}`);
    this.end();
    this.#output.note("");
  }

  /** Ends a line that is open, so that whatever comes next begins on its own. */
  end(): void {
    if (this.#openStep !== undefined) this.#output.note("");
    this.#openStep = undefined;
  }

  #begin(line: {
    readonly step: number;
    readonly of: number;
    readonly title: string;
    readonly detail: string | undefined;
  }): void {
    const head = `[${line.step}/${line.of}] ${line.title}…`;
    if (this.#openStep?.step !== line.step || this.#openStep.head !== head) {
      this.end();
      this.#output.notePart(head);
    }
    this.#openStep = { step: line.step, head };
    if (line.detail !== undefined) {
      this.#output.note(` ${line.detail}`);
      this.#openStep = undefined;
    }
  }
}
