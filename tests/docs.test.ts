import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { projectJsonSchema } from "../src/cli/project/project-schema.ts";
import { CONFIG_KEYS, environmentName } from "../src/config/config-keys.ts";
import { ERROR_CODES, errorFacts } from "../src/core/errors.ts";

const docs = join(import.meta.dirname, "../docs");

function headings(file: string): string[] {
  return [...readFileSync(join(docs, file), "utf8").matchAll(/^## (.+)$/gm)].map((match) => match[1] ?? "");
}

describe("docs/errors.md", () => {
  const text = readFileSync(join(docs, "errors.md"), "utf8");

  it("has a heading for every code, and none for what does not exist", () => {
    assert.deepEqual(headings("errors.md").sort(), [...ERROR_CODES].sort());
  });

  it("tells status and AWS name of each as the code has them", () => {
    for (const code of ERROR_CODES) {
      const section = text.slice(text.indexOf(`\n## ${code}\n`)).split("\n## ")[1] ?? "";
      const { status, awsName } = errorFacts(code);
      assert.ok(
        section.includes(`${status}`) && section.includes(awsName),
        `${code}: expected ${status} and ${awsName}`,
      );
    }
  });
});

it("docs/lambda.schema.json says what is read of a lambda.yaml", () => {
  const written = JSON.parse(readFileSync(join(docs, "lambda.schema.json"), "utf8"));
  assert.deepEqual(written, projectJsonSchema(), "npm run schema writes it anew");
});

describe("docs/configuration.md", () => {
  const text = readFileSync(join(docs, "configuration.md"), "utf8");

  it("has a row for every key with its variable, default and meaning", () => {
    for (const { name, fallback, meaning } of CONFIG_KEYS) {
      const row = text.split("\n").find((line) => line.startsWith(`| \`${name}\``));
      assert.ok(row, `${name} has no row`);
      for (const part of [environmentName(name), fallback, meaning])
        assert.ok(row.includes(part.replaceAll("|", "\\|")), `${name}: ${part}`);
    }
  });

  it("has no row for what does not exist", () => {
    const rows = [...text.matchAll(/^\| `([a-z-]+)`/gm)].map((match) => match[1]);
    assert.deepEqual(rows.sort(), CONFIG_KEYS.map((key) => key.name as string).sort());
  });
});

describe("docs/decisions", () => {
  /** Given out before it is written, so that some may be missing for a while. */
  it("has one record a number, with its number in its title", () => {
    const files = readdirSync(join(docs, "decisions")).sort();
    const numbers = files.map((file) => /^(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1] ?? file);
    assert.deepEqual(numbers, [...new Set(numbers)]);
    for (const [index, file] of files.entries()) {
      const [title = ""] = readFileSync(join(docs, "decisions", file), "utf8").split("\n", 1);
      assert.ok(title.startsWith(`# ${numbers[index]} `), `${file}: its title is "${title}"`);
    }
  });
});
