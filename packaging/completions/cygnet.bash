# Completion of cygnet's command line. The program itself knows the candidates, the names of the connections among them,
# and writes them so that bash may put them into the line as they are.

_cygnet() {
	local IFS=$' \t\n' out
	local line="${COMP_WORDS[*]:0:COMP_CWORD+1}"
	[[ -z ${COMP_LINE-} ]] || line="${COMP_LINE:0:COMP_POINT}"
	COMPREPLY=()
	if ! out="$(command cygnet complete bash -- "$COMP_WORDBREAKS" "$line" 2>/dev/null </dev/null)"; then
		# What is missing is a file.
		compopt -o default 2>/dev/null
		return 0
	fi
	[[ -z $out ]] || mapfile -t COMPREPLY <<<"$out"
}

complete -F _cygnet cygnet
