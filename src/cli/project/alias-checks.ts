import { type Document, isPair, type Node, visit } from "yaml";
import { nearest } from "../nearest.ts";

/**
 * Tells `problem` of aliases that stand for what they are in, with the way round, and of those that stand for nothing. An
 * anchor comes before its aliases, so no others go round.
 */
export function checkAliases(document: Document, problem: (at: Node, message: string) => void): void {
  const anchors: string[] = [];
  visit(document, {
    Node(_, { anchor }) {
      if (anchor) anchors.push(anchor);
    },
    Alias(_, alias, path) {
      const target = alias.resolve(document);
      if (!target) {
        const guess = nearest(alias.source, anchors);
        const hint = guess === undefined ? "an anchor comes before its aliases" : `did you mean *${guess}?`;
        problem(alias, `there is no &${alias.source} above; ${hint}`);
        return;
      }
      const from = path.indexOf(target);
      if (from < 0) return;
      const nameOf = (index: number): string => {
        const holder = path[index - 1];
        return isPair(holder) ? String(holder.key) : "lambda.yaml";
      };
      const between = path.slice(from + 1).flatMap((each) => (isPair(each) ? [String(each.key)] : []));
      const way = [nameOf(from), ...between, nameOf(from)].join(" → ");
      problem(alias, `*${alias.source} stands for what it is in: ${way}; write out what is meant`);
    },
  });
}
