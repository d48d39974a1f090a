import type { Output } from "../output.ts";
import { Fields } from "../wire.ts";

/** Says what senders have to be told: addresses that are new, and secrets, which are shown this once. */
export async function sayHookNews(output: Output, hooks: readonly unknown[]): Promise<void> {
  for (const each of hooks) {
    const hook = new Fields("hook", each);
    const [name, provider] = [hook.text("name"), hook.text("provider")];
    const secret = hook.optionalText("secret");
    if (hook.text("change") === "added") await output.write(`hook ${name}  ${hook.text("url")}\n`);
    if (secret !== undefined) {
      await output.write(`hook ${name}  secret ${secret}\n`);
      output.note(`give both to ${senderOf(provider)}, and keep the secret: it is not shown again`, "dim");
    } else if (!hook.truth("hasSecret")) {
      output.note(
        `hook ${name}: everything is refused until ${provider}'s secret is here: printf %s "$SECRET" | lambda hook rotate ${name} --secret-from-stdin`,
      );
    } else if (hook.text("change") === "new secret") {
      output.note(`hook ${name} has another secret; the one before stays good for a day`);
    }
  }
}

function senderOf(provider: string): string {
  return provider === "hmac" || provider === "standard" ? "the sender" : provider;
}
