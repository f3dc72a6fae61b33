#compdef linkscope
# Completes the command line of linkscope in zsh.
#
# Save this file as _linkscope in a folder that $fpath names before compinit is called, or source it after that.

_linkscope() {
    local line kind value help program=${(Q)words[1]/#\~\//$HOME/}
    local -a lines closed open
    lines=("${(@f)$(_LINKSCOPE_COMPLETE=zsh_complete \
        COMP_WORDS="${(pj:\n:)words[1,CURRENT-1]}"$'\n'"$QIPREFIX$IPREFIX$PREFIX" \
        $program </dev/null 2>/dev/null)}")

    for line in $lines; do
        kind=${line%%,*} value=${${line#*,}%%$'\t'*} help=${line#*$'\t'}
        case $kind in
            plain) closed+=("${value//:/\\:}${help:+:$help}") ;;
            open) open+=("${value//:/\\:}${help:+:$help}") ;;
            # The value is what stands before the name in the same word: --policy= for one.
            file) compset -P "${(b)value}"; _files; return ;;
            dir) compset -P "${(b)value}"; _files -/; return ;;
        esac
    done
    (( $#closed )) && _describe -V linkscope closed
    (( $#open )) && _describe -V linkscope open -S ''
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _linkscope "$@"
else
    compdef _linkscope linkscope
fi
