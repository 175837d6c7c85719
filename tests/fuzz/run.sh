#!/bin/bash
# run.sh BUILD SECONDS [TARGET...]: runs each fuzz target of the folder BUILD for a time from its corpus, and prints a table. New inputs
# gather in BUILD/corpus and serve the next run; those that break a reader come to BUILD/findings. Exit code 1 when there are any.
set -u
build=$1 seconds=$2 here=$(cd "$(dirname "$0")" && pwd)
shift 2
mkdir -p "$build/findings" "$build/logs"
[ $# -gt 0 ] || set -- $(cd "$build/tests/fuzz" && ls | sed -n 's/^fuzz_//p')
failed=0
printf '%-14s %12s %9s %9s %9s %9s\n' target executions exec/s coverage features findings
for name; do
  mkdir -p "$build/corpus/$name"
  before=$(find "$build/findings" -name "$name-*" | wc -l)
  words=()
  [ ! -f "$here/dictionaries/$name.dict" ] || words=("-dict=$here/dictionaries/$name.dict")
  "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 -max_len=8192 \
    -artifact_prefix="$build/findings/$name-" "${words[@]}" "$build/corpus/$name" "$here/corpus/$name" >"$build/logs/$name.log" 2>&1
  code=$?
  findings=$(($(find "$build/findings" -name "$name-*" | wc -l) - before))
  # A target that did not start counts as well.
  [ "$code" = 0 ] || [ "$findings" != 0 ] || findings=1
  [ "$findings" = 0 ] || failed=1
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/logs/$name.log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$build/logs/$name.log")
  reached=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 \2/p' "$build/logs/$name.log" | tail -n 1)
  printf '%-14s %12s %9s %9s %9s %9s\n' "$name" "${executions:--}" "${speed:--}" ${reached:-- -} "$findings"
done
[ "$failed" = 0 ] || echo "findings in $build/findings, reports in $build/logs"
exit "$failed"
