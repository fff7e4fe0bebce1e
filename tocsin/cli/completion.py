"""`tocsin completion SHELL`: the script that lets a shell ask Tocsin what may stand at the cursor."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app

app = new_app("Print the completion script of a shell.")

BASH = r"""_tocsin() {
    local cur=${COMP_WORDS[COMP_CWORD]} kind value help
    [ "$cur" = = ] && cur=
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur") ;;
            dir) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$cur") ;;
        esac
    done < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _tocsin tocsin
"""
ZSH = r"""#compdef tocsin
_tocsin() {
    local kind value help
    local -a found
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) found+=("${value//:/\\:}${help:+:$help}") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe tocsin found
}
if [ "$funcstack[1]" = _tocsin ]; then _tocsin "$@"; else compdef _tocsin tocsin; fi
"""
FISH = r"""function __tocsin_complete
    set -l words (commandline -opc)
    for line in ($words[1] --complete $words[2..] (commandline -ct) 2>/dev/null)
        set -l parts (string split \t -- $line)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete -c tocsin -f -a '(__tocsin_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@app.command()
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="bash, zsh or fish.")],
    as_json: Json = False,
) -> None:
    """Print the script; for bash: `source <(tocsin completion bash)`, or into /etc/bash_completion.d/tocsin."""
    script = SCRIPTS[shell]
    output.emit({"shell": shell, "script": script}, as_json=as_json, human=script)
