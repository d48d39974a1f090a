/**
 * The grammar of CloudWatch's metric math, loosest first:
 *
 *   or      = and { ("OR" | "||") and }
 *   and     = compare { ("AND" | "&&") compare }
 *   compare = sum { ("==" | "!=" | "<=" | ">=" | "<" | ">") sum }
 *   sum     = product { ("+" | "-") product }
 *   product = unary { ("*" | "/") unary }
 *   unary   = "-" unary | power
 *   power   = atom [ "^" unary ]
 *   atom    = NUMBER | TEXT | id | WORD | FUNCTION "(" [ or { "," or } ] ")" | "(" or ")" | "[" or { "," or } "]"
 *
 * Ids begin with a small letter, functions and words (ASC, REPEAT …) with a capital.
 */
import { ExpressionError } from "./series.ts";

export type Operator = "+" | "-" | "*" | "/" | "^" | "==" | "!=" | "<=" | ">=" | "<" | ">" | "AND" | "OR";

export type Expression =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "id"; readonly id: string }
  | { readonly kind: "word"; readonly word: string }
  | { readonly kind: "negative"; readonly of: Expression }
  | {
      readonly kind: "binary";
      readonly operator: Operator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: "list"; readonly items: readonly Expression[] };

/** As AWS bounds it. */
export const EXPRESSION_LENGTH_MAX = 2_048;
const DEPTH_MAX = 64;

const TOKEN =
  /\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|"([^"]*)"|'([^']*)'|([A-Za-z]\w*)|(==|!=|<=|>=|&&|\|\||[-+*/^<>()[\],]))/y;

interface Token {
  readonly kind: "number" | "text" | "name" | "sign" | "end";
  readonly text: string;
  readonly at: number;
}

const LEVELS: readonly Readonly<Record<string, Operator>>[] = [
  { OR: "OR", "||": "OR" },
  { AND: "AND", "&&": "AND" },
  { "==": "==", "!=": "!=", "<=": "<=", ">=": ">=", "<": "<", ">": ">" },
  { "+": "+", "-": "-" },
  { "*": "*", "/": "/" },
];

/** @throws ExpressionError */
export function parseExpression(text: string): Expression {
  if (text.length > EXPRESSION_LENGTH_MAX)
    throw new ExpressionError(`it has more than ${EXPRESSION_LENGTH_MAX} characters`);
  return new Parser(tokensOf(text)).whole();
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (text.slice(at).trim() !== "") {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) throw unexpected(text.slice(at).trim().charAt(0), at);
    const [, number, double, single, name, sign = ""] = found;
    if (number !== undefined) tokens.push({ kind: "number", text: number, at });
    else if (double !== undefined || single !== undefined)
      tokens.push({ kind: "text", text: double ?? single ?? "", at });
    else if (name !== undefined) tokens.push({ kind: "name", text: name, at });
    else tokens.push({ kind: "sign", text: sign, at });
    at = TOKEN.lastIndex;
  }
  return [...tokens, { kind: "end", text: "", at: text.length }];
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Expression {
    const expression = this.#level(0);
    const { kind, text, at } = this.#peek();
    if (kind !== "end") throw unexpected(text, at);
    return expression;
  }

  #level(level: number): Expression {
    const operators = LEVELS[level];
    if (!operators) return this.#unary();
    let left = this.#level(level + 1);
    for (;;) {
      const { kind, text } = this.#peek();
      const operator = kind === "text" || !Object.hasOwn(operators, text) ? undefined : operators[text];
      if (operator === undefined) return left;
      this.#take();
      left = { kind: "binary", operator, left, right: this.#level(level + 1) };
    }
  }

  #unary(): Expression {
    if (!this.#takes("-")) return this.#power();
    return this.#deeper(() => ({ kind: "negative", of: this.#unary() }));
  }

  #power(): Expression {
    const left = this.#atom();
    if (!this.#takes("^")) return left;
    return this.#deeper(() => ({ kind: "binary", operator: "^", left, right: this.#unary() }));
  }

  #atom(): Expression {
    const { kind, text, at } = this.#take();
    if (kind === "number") return { kind, value: Number(text) };
    if (kind === "text") return { kind, text };
    if (kind === "name" && /^[a-z]/.test(text)) return { kind: "id", id: text };
    if (kind === "name") {
      return this.#takes("(")
        ? { kind: "call", name: text, args: this.#items(")") }
        : { kind: "word", word: text };
    }
    if (kind === "sign" && text === "[") return { kind: "list", items: this.#items("]") };
    if (kind !== "sign" || text !== "(") throw unexpected(text, at);
    const inner = this.#deeper(() => this.#level(0));
    this.#expect(")");
    return inner;
  }

  #items(end: string): readonly Expression[] {
    const items: Expression[] = [];
    if (this.#takes(end)) return items;
    do items.push(this.#deeper(() => this.#level(0)));
    while (this.#takes(","));
    this.#expect(end);
    return items;
  }

  /** An expression of brackets alone must not use up the stack. */
  #deeper<Result>(read: () => Result): Result {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new ExpressionError("it is nested too deeply");
    const result = read();
    this.#depth -= 1;
    return result;
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "", at: 0 };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }

  #takes(sign: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== "sign" || text !== sign) return false;
    this.#next += 1;
    return true;
  }

  #expect(sign: string): void {
    const { text, at } = this.#peek();
    if (!this.#takes(sign)) throw unexpected(text, at);
  }
}

function unexpected(text: string, at: number): ExpressionError {
  return new ExpressionError(
    text === "" ? "it ends too early" : `unexpected ${JSON.stringify(text)} at character ${at + 1}`,
  );
}
