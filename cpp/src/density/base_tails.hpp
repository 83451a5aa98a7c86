// The bases with scale 1, one number at a time: what the kernels of the charts leave out, far tails
// and logarithms.
#pragma once

#include "kexue/density/chart.hpp"

namespace kexue::density {

// Mass above z >= 0.
double upper_tail_of_t3(double z);
double base_density(Base base, double z);
// Their logarithms for z far out, where they underflow.
double log_upper_tail(Base base, double z);
double log_base_density(Base base, double z);
// z >= 0 with mass q in (0, 1/2] above it.
double inverse_upper_tail(Base base, double q);

}  // namespace kexue::density
