#!/usr/bin/env bash
# Runs pytest on a build with the address and undefined-behaviour sanitizers (GCC, Linux).
#
#   tools/asan_pytest.sh [pytest arguments; tests/core without any]
#
# The build lives in build/asan, beside the installed package and untouched by it. PYTHON names the
# interpreter, in whose environment the test requirements are installed. Fails if a test fails or a
# sanitizer has written a report, even from a child process whose fate no test looks at.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
root=$PWD/build/asan
reports=$root/reports
rm -rf "$root/site" "$reports"
mkdir -p "$root/site" "$reports"

isolation=()
if "$python" -P -c "import pybind11, scikit_build_core" 2>/dev/null; then
  isolation=(--no-build-isolation)
fi
"$python" -P -m pip install --quiet --disable-pip-version-check --no-deps "${isolation[@]}" \
  --target "$root/site" . \
  -Cbuild-dir=build/asan/cmake -Ccmake.build-type=Debug "-Ccmake.define.CMAKE_CXX_FLAGS_DEBUG=-O1 -g1" \
  -Ccmake.define.KEXUE_SANITIZE=address,undefined -Ccmake.define.KEXUE_DEVELOPER=ON

# An editable install of the package would be found before PYTHONPATH: its finder goes.
cat > "$root/site/sitecustomize.py" <<'PYTHON'
import sys

sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
PYTHON

# libstdc++ too: the interpreter does not link it, and the sanitizer must find its throw at start.
compiler=${CXX:-g++}
preload=
for library in libasan.so libubsan.so libstdc++.so; do
  preload+="$("$compiler" -print-file-name="$library") "
done

[ $# -gt 0 ] || set -- tests/core
export PYTHONPATH=$root/site PYTHONSAFEPATH=1 PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
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
