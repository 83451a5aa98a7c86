#!/usr/bin/env bash
# Which lines of the C++ and the Python run in the tests (GCC).
#
#   tools/coverage.sh [pytest arguments; all tests without any]
#
# PYTHON names the interpreter, in whose environment the test requirements, coverage and gcovr are
# installed. Fails below 95 % of the C++ and 98 % of the Python, each read from the lines that this
# machine compiles: what only another architecture has (#if) is not counted. A kernel's line has run
# if it ran on any instruction set, a template's if it ran for any type; but every kernel function
# must have run for every type on every instruction set. With arguments the thresholds do not apply.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
root=$PWD/build/coverage
least_cpp=95 least_python=98
[ $# -eq 0 ] || least_cpp=0 least_python=0
PYTHON=$python tools/instrumented.sh coverage "-O1" \
  -Ccmake.define.KEXUE_COVERAGE=ON -Ccmake.define.KEXUE_BUILD_TESTS=ON
find "$root/cmake" -name '*.gcda' -delete
rm -f "$root"/data*

cat > "$root/coveragerc" <<RC
[run]
data_file = $root/data
source = $root/site/kexue_num
parallel = true
patch = subprocess
disable_warnings = no-data-collected
[report]
exclude_also = if TYPE_CHECKING:
RC
ctest --test-dir "$root/cmake" --output-on-failure
status=0
PYTHONPATH=$root/site PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 \
  "$python" -m coverage run --rcfile="$root/coveragerc" -m pytest -p no:cacheprovider "$@" || status=$?

"$python" -m coverage combine --quiet --rcfile="$root/coveragerc"
"$python" -m coverage report --rcfile="$root/coveragerc" --skip-covered --show-missing \
  --fail-under="$least_python" | sed "s|build/coverage/site/||" || status=$?
"$python" -m gcovr --root . --filter cpp/src/ --filter cpp/include/ --object-directory "$root/cmake" \
  --exclude-noncode-lines --merge-lines --gcov-suspicious-hits-threshold 0 \
  --sort uncovered-percent --txt "$root/cpp.txt" --txt-summary \
  --json "$root/cpp.json" --fail-under-line "$least_cpp" "$root/cmake" || status=$?
isas=$(PYTHONPATH=$root/site "$python" -P -c "from kexue_num import _core; print(*_core.available_isas())")
# shellcheck disable=SC2086  # one argument each
"$python" tools/kernels_run.py "$root/cmake" $isas || [ $# -gt 0 ] || status=$?
exit "$status"
