/** The expressions of one request: each computed once, by its id, from the metrics and from one another. */
import { callFunction, type Evaluation } from "./functions.ts";
import { combine, mapEach } from "./operators.ts";
import { type Expression, parseExpression } from "./parse-expression.ts";
import { ExpressionError, listOf, type MathValue, oneSeries, type Series, scalar } from "./series.ts";

export interface MathRequest {
  readonly metrics: ReadonlyMap<string, Series>;
  readonly expressions: ReadonlyMap<string, { readonly text: string; readonly periodMs: number }>;
  readonly startAt: number;
  readonly endAt: number;
}

/** As many as a response may have. */
const INSTANTS_MAX = 100_800;
/** Values that one request may bring about: an expression is short, and may be repeated within itself. */
const WORK_MAX = 5_000_000;

export class Evaluator {
  readonly #request: MathRequest;
  readonly #done = new Map<string, MathValue>();
  readonly #open = new Set<string>();
  #work = 0;

  constructor(request: MathRequest) {
    this.#request = request;
  }

  /**
   * The series of an expression.
   *
   * @throws ExpressionError also for a number, which AWS does not take as a result.
   */
  seriesOf(id: string): readonly Series[] {
    const value = this.#valueOf(id);
    if (value.kind === "scalar")
      throw new ExpressionError(
        "its result is a number, and has to be a time series: TIME_SERIES makes one of it",
      );
    return value.kind === "series" ? [value.series] : value.list;
  }

  #valueOf(id: string): MathValue {
    const metric = this.#request.metrics.get(id);
    if (metric) return oneSeries(metric);
    const done = this.#done.get(id);
    if (done) return done;
    const expression = this.#request.expressions.get(id);
    if (!expression) throw new ExpressionError(`there is no metric or expression with the Id ${id}`);
    if (this.#open.has(id)) throw new ExpressionError(`${id} refers to itself`);
    this.#open.add(id);
    const value = this.#compute(parseExpression(expression.text), expression.periodMs);
    this.#open.delete(id);
    this.#done.set(id, value);
    return value;
  }

  #compute(expression: Expression, periodMs: number): MathValue {
    const evaluation: Evaluation = {
      value: (argument) => this.#compute(argument, periodMs),
      metrics: (text) => this.#metrics(text),
      instants: (period) => this.#instants(period),
      periodMs,
    };
    const value = this.#step(expression, evaluation);
    if (value.kind === "series") this.#charge(value.series.points.size);
    if (value.kind === "list") for (const { points } of value.list) this.#charge(points.size);
    return value;
  }

  #step(expression: Expression, evaluation: Evaluation): MathValue {
    switch (expression.kind) {
      case "number":
        return scalar(expression.value);
      case "id":
        return this.#valueOf(expression.id);
      case "negative":
        return mapEach(evaluation.value(expression.of), (value) => -value);
      case "binary":
        return combine(
          expression.operator,
          evaluation.value(expression.left),
          evaluation.value(expression.right),
        );
      case "call":
        return callFunction(expression.name, expression.args, evaluation);
      case "list":
        return listOf(expression.items.flatMap((item) => seriesIn(evaluation.value(item))));
      case "text":
        throw new ExpressionError(
          `a text stands where a value is needed: ${JSON.stringify(expression.text)}`,
        );
      case "word":
        throw new ExpressionError(`${expression.word} is no metric: an Id begins with a small letter`);
    }
  }

  #metrics(text: string | undefined): readonly Series[] {
    const found = [...this.#request.metrics].filter(([id]) => text === undefined || id.includes(text));
    return found.map(([, series]) => series);
  }

  #instants(periodMs: number): readonly number[] {
    const { startAt, endAt } = this.#request;
    const firstAt = Math.floor(startAt / periodMs) * periodMs;
    const count = Math.ceil((endAt - firstAt) / periodMs);
    if (count > INSTANTS_MAX)
      throw new ExpressionError(
        `the time between StartTime and EndTime has ${count} periods, more than ${INSTANTS_MAX}: choose a longer period`,
      );
    return Array.from({ length: count }, (_, index) => firstAt + index * periodMs);
  }

  #charge(points: number): void {
    this.#work += points + 1;
    if (this.#work > WORK_MAX)
      throw new ExpressionError("it takes too much computing: ask for fewer periods or in several requests");
  }
}

function seriesIn(value: MathValue): readonly Series[] {
  if (value.kind === "scalar") throw new ExpressionError("an array takes time series, and no numbers");
  return value.kind === "series" ? [value.series] : value.list;
}
