#include "kexue/core/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace kexue {
namespace {

#if defined(KEXUE_HAVE_AVX2)
#if defined(_MSC_VER) && !defined(__clang__)
bool cpu_has(Isa isa) {
  int leaf1[4];
  int leaf7[4];
  __cpuid(leaf1, 1);
  __cpuidex(leaf7, 7, 0);
  const bool os_saves = (leaf1[2] & (1 << 27)) != 0;
  const unsigned long long state = os_saves ? _xgetbv(0) : 0;
  const bool avx2 =
      (state & 0x6) == 0x6 && (leaf1[2] & (1 << 12)) != 0 && (leaf7[1] & (1 << 5)) != 0;
  if (isa == Isa::avx2) return avx2;
  const int wanted = (1 << 16) | (1 << 17) | (1 << 30) | (1 << 31);  // F, DQ, BW, VL
  return avx2 && (state & 0xE6) == 0xE6 && (leaf7[1] & wanted) == wanted;
}
#else
// The compiler's runtime checks the operating system's register state as well as CPUID.
bool cpu_has(Isa isa) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
#else
bool cpu_has(Isa) { return false; }
#endif

Isa parse(std::string_view name) {
  for (Isa isa : kAllIsas) {
    if (name == isa_name(isa)) {
      if (!isa_available(isa)) {
        throw std::invalid_argument("instruction set '" + std::string(name) +
                                    "' is not available on this processor or in this build");
      }
      return isa;
    }
  }
  throw std::invalid_argument("unknown instruction set '" + std::string(name) +
                              "': expected baseline, avx2 or avx512");
}

// An unusable KEXUE_ISA must not break `import`: the best set is taken and show_config tells.
Isa choose() {
  if (const char* forced = std::getenv("KEXUE_ISA")) {
    try {
      return parse(forced);
    } catch (const std::invalid_argument&) {
    }
  }
  Isa best = Isa::baseline;
  for (Isa isa : kAllIsas) {
    if (isa_available(isa)) best = isa;
  }
  return best;
}

std::atomic<Isa>& active() {
  static std::atomic<Isa> isa{choose()};
  return isa;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    default:
      return "baseline";
  }
}

bool isa_available(Isa isa) { return isa == Isa::baseline || cpu_has(isa); }

Isa active_isa() { return active().load(std::memory_order_relaxed); }

void set_active_isa(std::string_view name) { active().store(parse(name)); }

}  // namespace kexue
