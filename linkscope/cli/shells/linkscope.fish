# Completes the command line of linkscope in fish 3.2 or later.
#
# Save this file as ~/.config/fish/completions/linkscope.fish.

function __linkscope_candidates
    set -l program (commandline -opc)[1]
    command -q -- $program; or set program linkscope
    set -l typed (commandline -cp | string collect)

    for line in (_LINKSCOPE_COMPLETE=fish_complete COMP_WORDS=$typed $program </dev/null 2>/dev/null)
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case plain open
                # fish itself adds no space behind a = sign.
                printf '%s\n' $parts[2]
            case file dir
                # The value is what stands before the name in the same word: --policy= for one.
                set -l lead $parts[2]
                set -l name (string sub -s (math 1 + (string length -- "$lead")) -- (commandline -ct))
                for found in (complete -C "'' $name")
                    if test $parts[1] = file; or string match -q '*/*' -- (string split -f 1 \t -- $found | string sub -s -1)
                        printf '%s\n' "$lead$found"
                    end
                end
        end
    end
end

complete --command linkscope --no-files --keep-order --arguments '(__linkscope_candidates)'
