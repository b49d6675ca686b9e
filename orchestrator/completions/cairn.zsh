#compdef cairn
# Completion of cairn(1) for zsh. `cairn --complete zsh` prints it with its tables.
#
# What can stand on the line is in the two functions of tables; names (stages, runs, artifacts)
# are asked for with `cairn --complete-words`. compadd quotes what it is given; nothing of a
# candidate is expanded or evaluated.

#TABLES#

_cairn_offer() {
	local kind word=$1 kinds=$2 name
	shift 2
	local -a names shown
	for kind in ${=kinds}; do
		case $kind in
		files) _files ;;
		dirs) _files -/ ;;
		\=*)
			names=(${(s:|:)${kind#=}})
			compadd -S ' ' -- ${names:#*=}
			compadd -S '' -- ${(M)names:#*=}
			;;
		*)
			names=() shown=()
			while IFS= read -r name; do
				names+=("${name%%$'\t'*}")
				shown+=("${name/$'\t'/  -- }")
			done < <("$_cairn_program" --complete-words "$kind" "$word" cairn "$@" 2>/dev/null)
			[[ $kind == params ]] && compadd -S '' -l -d shown -a names ||
				compadd -l -d shown -a names
			;;
		esac
	done
}

_cairn() {
	local verb option word kinds i REPLY _cairn_program=${(Q)words[1]}
	local -a before
	integer position=0
	for ((i = 2; i < CURRENT; i++)); do
		word=${(Q)words[i]}
		before+=("$word")
		if [[ -n $option ]]; then
			option=
		elif [[ $word == -?* ]]; then
			_cairn_kinds "$verb" "$word" && [[ -n $REPLY ]] && option=$word
		elif [[ -z $verb ]]; then
			verb=$word
		else
			((position++))
		fi
	done
	word=${(Q)words[CURRENT]}
	if [[ -n $option ]]; then
		_cairn_kinds "$verb" "$option"
		kinds=$REPLY
	elif [[ $word == --*=* ]]; then
		_cairn_kinds "$verb" "${word%%=*}"
		[[ -n $REPLY ]] || _cairn_kinds "$verb" "${word%%=*}="
		kinds=$REPLY
		word=${word#*=}
		compset -P '*='
	elif [[ $word == -* ]]; then
		_cairn_options "$verb"
		kinds="=${REPLY// /|}"
	elif [[ -z $verb ]]; then
		kinds="=${_cairn_verbs// /|}"
	else
		_cairn_kinds "$verb" $((position + 1))
		kinds=$REPLY
	fi
	_cairn_offer "$word" "$kinds" "${before[@]}"
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_cairn "$@"
else
	(($+functions[compdef])) && compdef _cairn cairn
fi
