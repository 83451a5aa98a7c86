#!/usr/bin/env bash
# Runs the C++ tests and pytest on a build with the address and undefined-behaviour sanitizers (GCC,
# Linux).
#
#   tools/asan_pytest.sh [pytest arguments; tests/core without any]
#
# PYTHON names the interpreter, in whose environment the test requirements are installed. Fails if a
# test fails or a sanitizer has written a report, even from a child process whose fate no test looks
# at.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
reports=$PWD/build/asan/reports
rm -rf "$reports"
mkdir -p "$reports"
PYTHON=$python tools/instrumented.sh asan "-O1 -g1" \
  -Ccmake.define.KEXUE_SANITIZE=address,undefined -Ccmake.define.KEXUE_DEVELOPER=ON \
  -Ccmake.define.KEXUE_BUILD_TESTS=ON
ctest --test-dir build/asan/cmake --output-on-failure

# libstdc++ too: the interpreter does not link it, and the sanitizer must find its throw at start.
compiler=${CXX:-g++}
preload=
for library in libasan.so libubsan.so libstdc++.so; do
  preload+="$("$compiler" -print-file-name="$library") "
done

[ $# -gt 0 ] || set -- tests/core
export PYTHONPATH=$PWD/build/asan/site PYTHONSAFEPATH=1 PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
# Python's own objects live until exit: leaks are not looked for. pytest captures stderr: reports go
# to files.
export ASAN_OPTIONS=detect_leaks=0:log_path=$reports/asan
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan
status=0
LD_PRELOAD=$preload "$python" - "$@" <<'PYTHON' || status=$?
import sys

import pytest

import kexue_num

assert "/build/asan/site/" in kexue_num.__file__, kexue_num.__file__
sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))
PYTHON

for report in "$reports"/*; do
  [ -e "$report" ] || continue
  echo "sanitizer report $report:" >&2
  head -n 40 "$report" >&2
  status=1
done
exit "$status"
