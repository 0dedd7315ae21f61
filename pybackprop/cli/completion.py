"""`pybackprop completion`: a shell's completion of this command line, made from its parsers.

The script knows all commands, options and choices, so that completing starts no Python. Where a value is not one of a
few, the shell completes names of files.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Node:
    """A command, or a command of a command, with what may stand after it.

    path     "", "train", "lab try"
    words    its commands and options, each with a line of help;  choices: of options and of its own argument, ""
    """

    path: str
    words: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)


def add_parser(commands: Any) -> None:
    """Adds `completion` to the command line."""
    completion = commands.add_parser(
        "completion",
        description="Prints a script. bash: pybackprop completion bash > ~/.local/share/bash-completion/completions/"
        "pybackprop; zsh: into a file _pybackprop in a folder of $fpath; fish: > ~/.config/fish/completions/"
        "pybackprop.fish. Print it again after an upgrade.",
    )
    completion.add_argument("shell", choices=[*SHELLS], help="whose")
    completion.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code. options.command_line: makes the parser of all commands."""
    print(SHELLS[options.shell](list(nodes(options.command_line(), ""))), end="")
    return 0


def nodes(parser: argparse.ArgumentParser, path: str) -> Iterator[Node]:
    """What a parser takes, and then what its commands take."""
    node, inner = Node(path), {}
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices
            for listed in action._choices_actions:
                node.words[listed.dest] = listed.help or ""
            continue
        for option in action.option_strings:
            node.words[option] = _plain(action)
        if action.choices is not None:
            for name in action.option_strings or [""]:
                node.choices[name] = [str(choice) for choice in action.choices]
    yield node
    for name, below in inner.items():
        yield from nodes(below, f"{path} {name}".strip())


def _plain(action: argparse.Action) -> str:
    """The line of help, without what argparse would fill in."""
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def _cases(found: list[Node], mark: str) -> Iterator[tuple[str, str]]:
    """(what a shell's `case` compares "path:word before" with, the words that it offers then)."""
    for node in found:
        for option, choices in node.choices.items():
            if option:
                yield f"{node.path}:{option}", mark.join(choices)


def _offers(node: Node) -> list[str]:
    return [*node.words, *node.choices.get("", [])]


def _paths(found: list[Node]) -> str:
    """The paths of all commands, as a pattern of a shell's `case`."""
    return "|".join(f'"{node.path}"' for node in found if node.path)


def bash(found: list[Node]) -> str:
    """For bash. `=` separates words there, so that the value after --option= stands apart."""
    values = "".join(f'        "{case}") words="{words}" ;;\n' for case, words in _cases(found, " "))
    offers = "".join(f'            "{node.path}") words="{" ".join(_offers(node))}" ;;\n' for node in found)
    return f"""# pybackprop's completion for bash: made by `pybackprop completion bash`
_pybackprop() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} at="" word words
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "${{at:+$at }}$word" in {_paths(found)}) at="${{at:+$at }}$word" ;; esac
    done
    [ "$before" = "=" ] && before=${{COMP_WORDS[COMP_CWORD - 2]}}
    [ "$cur" = "=" ] && cur=""
    case "$at:$before" in
{values}        *) case "$at" in
{offers}        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o bashdefault -o default -F _pybackprop pybackprop
"""


def zsh(found: list[Node]) -> str:
    """For zsh, with the lines of help."""
    values = "".join(f'        "{case}") compadd -- {words} ;;\n' for case, words in _cases(found, " "))
    offers = "".join(f'            "{node.path}") offers=({_described(node)}) ;;\n' for node in found)
    return f"""#compdef pybackprop
# pybackprop's completion for zsh: made by `pybackprop completion zsh`
_pybackprop() {{
    local at="" before=${{words[CURRENT-1]}} word
    local -a offers
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "${{at:+$at }}$word" in ({_paths(found)}) at="${{at:+$at }}$word" ;; esac
    done
    if [[ $PREFIX == --*=* ]]; then before=${{PREFIX%%=*}}; compset -P '*='; fi
    case "$at:$before" in
{values}        *) case "$at" in
{offers}        esac
        _describe pybackprop offers || _files ;;
    esac
}}
if [ "$funcstack[1]" = "_pybackprop" ]; then _pybackprop "$@"; else compdef _pybackprop pybackprop; fi
"""


def _described(node: Node) -> str:
    """Words with their help, as zsh's _describe takes them."""
    told = {**node.words, **dict.fromkeys(node.choices.get("", []), "")}
    return " ".join(shlex.quote(f"{word}:{text}" if text else word) for word, text in told.items())


def fish(found: list[Node]) -> str:
    """For fish, with the lines of help."""
    lines = ["# pybackprop's completion for fish: made by `pybackprop completion fish`"]
    first = " ".join(node.path for node in found if node.path and " " not in node.path)
    for node in found:
        parts = [f"__fish_seen_subcommand_from {part}" for part in node.path.split()]
        within = "; and ".join(parts) or f"not __fish_seen_subcommand_from {first}"
        start = f"complete -c pybackprop -n {shlex.quote(within)}"
        for word, text in node.words.items():
            told = f" -d {shlex.quote(text)}" if text else ""
            if word.startswith("--"):
                choices = node.choices.get(word)
                values = f" -x -a {shlex.quote(' '.join(choices))}" if choices else ""
                lines.append(f"{start} -l {word[2:]}{values}{told}")
            elif word.startswith("-"):
                lines.append(f"{start} -s {word[1:]}{told}")
            else:
                lines.append(f"{start} -f -a {shlex.quote(word)}{told}")
        if "" in node.choices:
            lines.append(f"{start} -f -a {shlex.quote(' '.join(node.choices['']))}")
    return "\n".join(lines) + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
