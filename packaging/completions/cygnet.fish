# Completion of cygnet's command line. The program itself knows the candidates, the names of the connections among them;
# fish quotes them.

function __cygnet_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct | string collect)
    command cygnet complete fish -- $words "$current" 2>/dev/null </dev/null
    # What is missing is a file.
    or __fish_complete_path "$current"
end

complete -c cygnet -f -a '(__cygnet_complete)'
