// Instruction sets and the choice among them.
//
// Every kernel family is one source in cpp/src/kernels/, compiled once per instruction set with
// KEXUE_ISA set to baseline, avx2 or avx512; it defines a constant table of function pointers in
// namespace kexue::KEXUE_ISA. cpp/src/dispatch.cpp turns the tables of a family into one function
// that returns the table in use. The choice is made once, by CPUID and the operating system's
// register state, and can be lowered by the environment variable KEXUE_ISA.
#pragma once

#include <string_view>

namespace kexue {

enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2 };
inline constexpr Isa kAllIsas[] = {Isa::baseline, Isa::avx2, Isa::avx512};

const char* isa_name(Isa isa);
// Compiled in, and runnable on this processor.
bool isa_available(Isa isa);
Isa active_isa();
// Switches every table; for tests. Throws std::invalid_argument if the set is unknown or absent.
void set_active_isa(std::string_view name);

}  // namespace kexue
