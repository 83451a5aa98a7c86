// Linear and power families (kexue/simplex/kernels.hpp), many short rows at once.
#include "simplex_short_power.hpp"
#include "simplex_short_sorted.hpp"

namespace kexue::KEXUE_ISA {
namespace {

template <class T>
constexpr simplex::ShortKernels<T> kKernels = {short_linear<T>, short_power<T>};

}  // namespace

extern const simplex::SimplexShortKernels simplex_short_kernels;
const simplex::SimplexShortKernels simplex_short_kernels = {kKernels<double>, kKernels<float>};

}  // namespace kexue::KEXUE_ISA
