#compdef cygnet
# Completion of cygnet's command line. The program itself knows the candidates, the names of the connections among them;
# zsh quotes them.

_cygnet() {
	local out line
	local -a values shown
	if ! out="$(command cygnet complete zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)"; then
		# What is missing is a file.
		_files
		return
	fi
	for line in "${(@f)out}"; do
		[[ -n $line ]] || continue
		values+=("${line%%$'\t'*}")
		shown+=("${line/$'\t'/  -- }")
	done
	(( $#values )) && compadd -l -d shown -a values
}

_cygnet "$@"
