#!/usr/bin/env bash
# Installs a build with extra CMake settings in build/NAME/site, beside the installed package and
# untouched by it.
#
#   PYTHON=python tools/instrumented.sh NAME FLAGS [-Ccmake.define.X=Y ...]
#
# FLAGS are the compiler's. Put build/NAME/site on PYTHONPATH to use it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
root=$PWD/build/$1
flags=$2
shift 2
rm -rf "$root/site"
mkdir -p "$root/site"

isolation=()
if "$python" -P -c "import pybind11, scikit_build_core" 2>/dev/null; then
  isolation=(--no-build-isolation)
fi
"$python" -P -m pip install --quiet --disable-pip-version-check --no-deps "${isolation[@]}" \
  --target "$root/site" . -Cbuild-dir="$root/cmake" -Ccmake.build-type=Debug \
  -Ccmake.define.CMAKE_CXX_FLAGS_DEBUG="$flags" "$@"

# An editable install of the package would be found before PYTHONPATH: its finder goes.
cat > "$root/site/sitecustomize.py" <<'PYTHON'
import sys

sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
PYTHON
