# Completion of cairn(1) for fish. `cairn --complete fish` prints it with its tables.
#
# Names (stages, runs, artifacts) are asked for with `cairn --complete-words`; fish quotes what
# it inserts, and evaluates nothing of it.

# Verb and number of arguments before the cursor, one a line.
function __cairn_place
	set -l verb
	set -l position 0
	set -l is_value 0
	for word in (commandline -opc)[2..-1]
		if test $is_value = 1
			set is_value 0
		else if string match -q -- '-?*' $word
			__cairn_takes_value "$verb" $word; and set is_value 1
		else if test -z "$verb"
			set verb $word
		else
			set position (math $position + 1)
		end
	end
	echo $verb
	echo $position
end

# Is it one of these verbs? '' before there is one.
function __cairn_is
	set -l place (__cairn_place)
	contains -- "$place[1]" $argv
end

# Is it that verb, with so many arguments before the cursor?
function __cairn_is_at
	set -l place (__cairn_place)
	test "$place[1]" = $argv[1]; and test "$place[2]" = $argv[2]
end

function __cairn_words
	set -l line (commandline -opc)
	set -l word (commandline -ct)
	set word (string replace -r -- '^--[a-z-]+=' '' $word)
	$line[1] --complete-words $argv[1] "$word" $line 2>/dev/null
end

complete -c cairn -f
#TABLES#
