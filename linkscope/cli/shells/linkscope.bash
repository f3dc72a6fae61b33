# Completes the command line of linkscope in bash 4.4 or later.
#
# Source this file in ~/.bashrc, or let bash-completion find it by its name:
#   ~/.local/share/bash-completion/completions/linkscope

_linkscope() {
    local line kind value
    COMPREPLY=()
    # COMP_WORDS would be broken at every = and :, so linkscope gets the line itself, and, as bash replaces only
    # what stands behind the break, that part of the last word as well.
    while IFS= read -r line; do
        kind=${line%%,*} value=${line#*,}
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value") && compopt -o nospace ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(_LINKSCOPE_COMPLETE=bash_complete COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_TAIL="$2" \
        "${1/#\~/$HOME}" </dev/null 2>/dev/null)
}

complete -o nosort -F _linkscope linkscope
