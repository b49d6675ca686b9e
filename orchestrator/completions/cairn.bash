# shellcheck shell=bash
# Completion of cairn(1) for bash. `cairn --complete bash` prints it with its tables.
#
# What can stand on the line is in the two functions of tables; names (stages, runs, artifacts)
# are asked for with `cairn --complete-words`. Candidates are text, whatever characters are in
# them: nothing of them is ever expanded or evaluated, and each is quoted before it is offered.

#TABLES#

# Words up to the cursor as they were typed, into _cairn_line: bash also cuts at : and =.
_cairn_split() {
	local rest=${COMP_LINE:0:COMP_POINT} word i
	_cairn_line=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $i -eq 0 || $rest == [[:blank:]]* ]]; then
			rest=${rest#"${rest%%[![:blank:]]*}"}
			_cairn_line+=("")
		fi
		((i == COMP_CWORD)) && word=$rest
		_cairn_line[${#_cairn_line[@]} - 1]+=$word
		rest=${rest#"$word"}
	done
}

# A typed word without its quotes, into REPLY.
_cairn_unquote() {
	local text=$1 quote="" char i
	REPLY=""
	for ((i = 0; i < ${#text}; i++)); do
		char=${text:i:1}
		if [[ $char == "\\" && $quote != "'" ]]; then
			((i++))
			REPLY+=${text:i:1}
		elif [[ -z $quote && ($char == "'" || $char == '"') ]]; then
			quote=$char
		elif [[ -n $quote && $char == "$quote" ]]; then
			quote=""
		else
			REPLY+=$char
		fi
	done
}

# Offers what begins with `word`, of which `before` (up to the last : or =) stands already.
_cairn_offer() {
	local before=$1 word=$2 kinds=$3 kind name
	local -a names=()
	for kind in $kinds; do
		case $kind in
		files) compopt -o default 2>/dev/null ;;
		dirs) compopt -o dirnames 2>/dev/null ;;
		=*)
			kind=${kind#=}
			while [[ -n $kind ]]; do
				names+=("${kind%%|*}")
				[[ $kind == *"|"* ]] && kind=${kind#*|} || kind=""
			done
			;;
		*) while IFS= read -r name; do
			names+=("${name%%$'\t'*}")
		done < <("$_cairn_program" --complete-words "$kind" "$word" \
			"${_cairn_plain[@]}" 2>/dev/null) ;;
		esac
	done
	for name in "${names[@]}"; do
		[[ $name == "$word"* ]] || continue
		name=${name#"$before"}
		[[ $name == *= ]] && compopt -o nospace 2>/dev/null
		if [[ $name != *= ]]; then
			printf -v name %q "$name"
		fi
		COMPREPLY+=("$name")
	done
}

_cairn() {
	local _cairn_program=$1 word before="" verb="" option="" kinds i n position=0
	local -a _cairn_line _cairn_plain=()
	COMPREPLY=()
	_cairn_split
	for word in "${_cairn_line[@]}"; do
		_cairn_unquote "$word"
		_cairn_plain+=("$REPLY")
	done
	n=$((${#_cairn_plain[@]} - 1))
	_cairn_unquote "$1"
	_cairn_program=$REPLY
	for ((i = 1; i < n; i++)); do
		word=${_cairn_plain[i]}
		if [[ -n $option ]]; then
			option=""
		elif [[ $word == -?* ]]; then
			_cairn_kinds "$verb" "$word" && [[ -n $REPLY ]] && option=$word
		elif [[ -z $verb ]]; then
			verb=$word
		else
			((position++))
		fi
	done
	word=${_cairn_plain[n]}
	unset "_cairn_plain[n]"
	if [[ -n $option ]]; then
		_cairn_kinds "$verb" "$option"
		kinds=$REPLY
	elif [[ $word == --*=* ]]; then
		_cairn_kinds "$verb" "${word%%=*}"
		[[ -n $REPLY ]] || _cairn_kinds "$verb" "${word%%=*}="
		kinds=$REPLY
		word=${word#*=}
	elif [[ $word == -* ]]; then
		_cairn_options "$verb"
		kinds="=${REPLY// /|}"
	elif [[ -z $verb ]]; then
		kinds="=${_cairn_verbs// /|}"
	else
		_cairn_kinds "$verb" $((position + 1))
		kinds=$REPLY
	fi
	# readline replaces what follows the last of these only.
	[[ $COMP_WORDBREAKS == *[:=]* && $word == *[:=]* ]] && before=${word%"${word##*[:=]}"}
	_cairn_offer "$before" "$word" "$kinds"
}

complete -F _cairn cairn
