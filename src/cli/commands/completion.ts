import type { Argument, Option, Command as Program } from "commander";
import type { Command } from "../command.ts";

export type Shell = "bash" | "zsh" | "fish";

/** A script made of the command tree, so that it cannot fall behind it. Names of functions are asked of the server. */
export async function printCompletion({ output }: Command, shell: Shell, program: Program): Promise<void> {
  const tree = describeTree(program);
  if (shell === "fish") await output.write(fishScript(tree));
  else await output.write(shell === "bash" ? bashScript(tree) : zshScript(tree));
}

/** One command and the words that can follow it. `path` is empty for `lambda` itself. */
interface Node {
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly OptionWords[];
  readonly choices: readonly string[];
  readonly takesFunction: boolean;
}

interface OptionWords {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

function describeTree(program: Program): Node[] {
  const globals = program.options.filter((option) => !option.hidden);
  const describe = (command: Program, path: string): Node[] => {
    const node: Node = {
      path,
      commands: command.commands.map((each) => ({ name: each.name(), description: each.description() })),
      options: [...new Set([...command.options, ...globals])].map(describeOption),
      choices: command.registeredArguments.flatMap((argument: Argument) => argument.argChoices ?? []),
      takesFunction: /^name\b/.test(command.registeredArguments[0]?.name() ?? ""),
    };
    const children = command.commands.flatMap((each) => describe(each, `${path} ${each.name()}`.trim()));
    return [node, ...children];
  };
  return describe(program, "");
}

function describeOption(option: Option): OptionWords {
  return {
    short: option.short,
    long: option.long,
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

function flagsOf(node: Node): string[] {
  return node.options.flatMap((option) => [option.short, option.long]).filter((flag) => flag !== undefined);
}

function bashScript(tree: readonly Node[]): string {
  const commandCases = tree
    .filter((node) => node.commands.length > 0)
    .map(
      (node) => `    ${quote(node.path)}) words="${node.commands.map((each) => each.name).join(" ")}" ;;\n`,
    );
  const nodeCases = tree.map((node) => {
    const words = [...node.commands.map((each) => each.name), ...node.choices].join(" ");
    const dynamic = node.takesFunction ? " names=1" : "";
    return `    ${quote(node.path)}) flags="${flagsOf(node).join(" ")}" words="${words}"${dynamic} ;;\n`;
  });
  const valued = [
    ...new Set(
      tree.flatMap((node) =>
        node.options.filter((each) => each.takesValue).flatMap((each) => [each.short, each.long]),
      ),
    ),
  ];
  const choiceCases = tree.flatMap((node) =>
    node.options
      .filter((each) => each.choices.length > 0)
      .map(
        (each) =>
          `    ${quote(`${node.path} ${each.long}`)}) COMPREPLY=($(compgen -W "${each.choices.join(" ")}" -- "$word")); return ;;\n`,
      ),
  );
  return `# bash completion for lambda: eval "$(lambda completion bash)"
_lambda() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path="" words flags="" names="" i skip=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    local each=\${COMP_WORDS[i]}
    if [ -n "$skip" ]; then skip=""; continue; fi
    case $each in
    ${valued.filter((flag) => flag !== undefined).join("|")}) skip=1; continue ;;
    -*) continue ;;
    esac
    words=""
    case $path in
${commandCases.join("")}    esac
    case " $words " in *" $each "*) path="\${path:+$path }$each" ;; esac
  done
  words=""
  case $path in
${nodeCases.join("")}  esac
  case "$path $before" in
${choiceCases.join("")}  esac
  case "$skip$before" in
  1*) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case $word in
  -*) COMPREPLY=($(compgen -W "$flags" -- "$word")); return ;;
  esac
  [ -n "$names" ] && words="$words $(lambda list --quiet 2>/dev/null)"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ -z "$words" ] && COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _lambda lambda
`;
}

/** zsh runs bash's completion functions once asked to. */
function zshScript(tree: readonly Node[]): string {
  return `#compdef lambda\nautoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(tree).replace('# bash completion for lambda: eval "$(lambda completion bash)"', '# zsh completion for lambda: eval "$(lambda completion zsh)"')}`;
}

function fishScript(tree: readonly Node[]): string {
  const lines = ["# fish completion for lambda: lambda completion fish | source", "complete -c lambda -f"];
  for (const node of tree) {
    const condition = fishCondition(node);
    for (const { name, description } of node.commands) {
      lines.push(`complete -c lambda ${condition} -a ${quote(name)} -d ${quote(description)}`);
    }
    for (const choice of node.choices) lines.push(`complete -c lambda ${condition} -a ${quote(choice)}`);
    if (node.takesFunction)
      lines.push(`complete -c lambda ${condition} -a '(lambda list --quiet 2>/dev/null)'`);
    if (node.path === "deploy" || node.path === "init") lines.push(`complete -c lambda ${condition} -F`);
    for (const option of node.options) {
      const short = option.short === undefined ? "" : ` -s ${option.short.slice(1)}`;
      const long = option.long === undefined ? "" : ` -l ${option.long.slice(2)}`;
      const value =
        option.choices.length > 0
          ? ` -x -a ${quote(option.choices.join(" "))}`
          : option.takesValue
            ? " -r"
            : "";
      lines.push(`complete -c lambda ${condition}${short}${long}${value} -d ${quote(option.description)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Where the words typed so far have led to this node and not to one of its children. */
function fishCondition(node: Node): string {
  if (node.path === "") return "-n __fish_use_subcommand";
  const [parent = "", child] = node.path.split(" ");
  const seen =
    child === undefined
      ? `__fish_seen_subcommand_from ${parent}`
      : `__fish_seen_subcommand_from ${parent}; and __fish_seen_subcommand_from ${child}`;
  const children = node.commands.map((each) => each.name).join(" ");
  return `-n ${quote(children === "" ? seen : `${seen}; and not __fish_seen_subcommand_from ${children}`)}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
