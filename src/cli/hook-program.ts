import { Option, type Command as Program } from "commander";
import { HMAC_ALGORITHMS, HOOK_PROVIDERS } from "../core/hook.ts";
import type { Command, Runner } from "./command.ts";
import type { DeliveryOptions, HookListOptions, HookOptions, RotateOptions } from "./commands/hook.ts";

type Commands = typeof import("./commands/hook.ts");

const EXAMPLES = `
Examples:
  $ lambda hook create push --provider github --function ci
  $ lambda hook create pay --provider stripe --function billing:live
  $ lambda hook create site --provider github --deploy --repo https://github.com/me/site.git --branch main
`;

/** `lambda hook`: addresses that others send signed requests to. */
export function addHooks(program: Program, run: Runner): void {
  const hook = program
    .command("hook")
    .description("let GitHub, Stripe and others call a function, or deploy it");
  const does = (work: (commands: Commands, command: Command) => Promise<void>) =>
    run(async (command) => work(await import("./commands/hook.ts"), command));
  const ofOne = (name: string, description: string) =>
    hook.command(`${name} <hook>`).description(description);

  hook
    .command("create <hook>")
    .description("make an address, and the secret that requests to it are signed with")
    .addOption(
      new Option("--provider <provider>", "who sends, and so how it signs")
        .choices([...HOOK_PROVIDERS])
        .makeOptionMandatory(),
    )
    .option(
      "--function <function[:qualifier]>",
      "what is called, or deployed [the hook's name, with --deploy]",
    )
    .option("--secret-from-stdin", "the sender's secret, or one of your own [one is made]")
    .option("--signature-header <name>", "hmac: where the signature is [X-Signature-256]")
    .addOption(
      new Option("--algorithm <name>", "hmac: of the signature [sha256]").choices([...HMAC_ALGORITHMS]),
    )
    .option("--id-header <name>", "hmac: where an id is that no other delivery has [the signature is it]")
    .option("--timestamp-header <name>", "hmac: where the seconds are that are signed before the body")
    .option("--deploy", "a push builds and deploys the function")
    .option("--repo <url>", "deploy: what git reads: https://, ssh://, git@host:path, file:// or a path")
    .option("--branch <name>", "deploy: whose pushes count [main]")
    .option("--path <folder>", "deploy: the folder of the repository that is the function [all of it]")
    .option("--token-file <file>", "deploy: with the token that the repository is read with over HTTPS")
    .option("--token-user <name>", "deploy: whose token it is [git]")
    .option("--ssh-key-file <file>", "deploy: with the private key that it is read with over SSH")
    .option("--known-hosts-file <file>", "deploy: with the host's keys [the first one is believed]")
    .option("--paused", "take nothing until it is resumed")
    .option("--description <text>", "what it is for")
    .addHelpText("after", EXAMPLES)
    .action((name: string, options: HookOptions) =>
      does((commands, command) => commands.createHook(command, name, options)),
    );
  hook
    .command("list")
    .alias("ls")
    .description("list the hooks")
    .option("--function <function>", "of one function")
    .action((options: HookListOptions) => does((commands, command) => commands.listHooks(command, options)));
  ofOne("show", "show a hook").action((name: string) =>
    does((commands, command) => commands.showHook(command, name)),
  );
  ofOne("deliveries", "list what came to it, latest first, or show one")
    .argument("[delivery]")
    .option("--last <n>", "how many, up to 500 [20]")
    .action((name: string, id: string | undefined, options: DeliveryOptions) =>
      does((commands, command) => commands.showDeliveries(command, name, id, options)),
    );
  ofOne("redeliver", "do again what followed from a delivery")
    .argument("<delivery>")
    .action((name: string, id: string) => does((commands, command) => commands.redeliver(command, name, id)));
  ofOne("rotate", "give it another secret; the one it has stays good for a while")
    .option("--secret-from-stdin", "the sender's new secret [one is made]")
    .option("--overlap <span>", "how long the old one stays good, such as 1h or 0s [1d]")
    .action((name: string, options: RotateOptions) =>
      does((commands, command) => commands.rotateHook(command, name, options)),
    );
  ofOne("pause", "let it take nothing until it is resumed").action((name: string) =>
    does((commands, command) => commands.setPaused(command, name, true)),
  );
  ofOne("resume", "let it take deliveries again").action((name: string) =>
    does((commands, command) => commands.setPaused(command, name, false)),
  );
  ofOne("delete", "delete it with its deliveries")
    .alias("rm")
    .action((name: string) => does((commands, command) => commands.deleteHook(command, name)));
}
