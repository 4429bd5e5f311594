# Turns the output of `go test -bench` into a Markdown table. Each benchmark is named on stderr as it ends; a
# failure anywhere is shown whole and makes the exit status 1.

/^(cpu|goos|goarch): / { about[$1] = substr($0, length($1) + 2); next }
/^Benchmark/ && NF >= 4 {
	name = $1
	sub(/^Benchmark/, "", name)
	cores = name
	if (!sub(/.*-/, "", cores) || cores !~ /^[0-9]+$/) cores = 1
	sub(/-[0-9]+$/, "", name)
	time = bytes = allocs = more = ""
	for (i = 3; i < NF; i += 2) {
		if ($(i + 1) == "ns/op") time = duration($i)
		else if ($(i + 1) == "B/op") bytes = $i
		else if ($(i + 1) == "allocs/op") allocs = $i
		else if (sub(/-ns\/op$/, "", $(i + 1))) more = more (more == "" ? "" : ", ") $(i + 1) " " duration($i)
		else more = more (more == "" ? "" : ", ") $i " " $(i + 1)
	}
	rows[++n] = sprintf("| %s | %s | %s | %s | %s |", name, time, bytes, allocs, more)
	print "done: " name > "/dev/stderr"
	next
}
/^(PASS|ok |pkg: |\?|testing: warning)/ { next }
{ rest = rest $0 "\n" }
/^(FAIL|--- FAIL|panic:|no Go files)/ || /: no such file/ { failed = 1 }

END {
	if (failed || n == 0) {
		printf "%s", rest > "/dev/stderr"
		if (n == 0) print "no benchmark ran" > "/dev/stderr"
		exit 1
	}
	"date -u +%Y-%m-%d" | getline date
	"go env GOVERSION" | getline version
	printf "%s, %s, %s, %s/%s, GOMAXPROCS %s\n\n", date, version, about["cpu:"], about["goos:"], about["goarch:"], cores
	print "| benchmark | time/op | B/op | allocs/op | other |"
	print "| --- | ---: | ---: | ---: | --- |"
	for (i = 1; i <= n; i++) print rows[i]
}

function duration(ns) {
	if (ns >= 1e9) return sprintf("%.2f s", ns / 1e9)
	if (ns >= 1e6) return sprintf("%.2f ms", ns / 1e6)
	if (ns >= 1e3) return sprintf("%.2f µs", ns / 1e3)
	return sprintf("%.1f ns", ns)
}
