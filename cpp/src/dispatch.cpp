// One line per kernel family: the table of the instruction set in use.
#include "kexue/core/elementary.hpp"
#include "kexue/core/gemm.hpp"
#include "kexue/core/isa.hpp"
#include "kexue/core/limits.hpp"
#include "kexue/core/rng.hpp"
#include "kexue/core/vectors.hpp"
#include "kexue/density/chart_kernels.hpp"
#include "kexue/density/kernels.hpp"
#include "kexue/lattice/point_kernels.hpp"
#include "kexue/lattice/trellis_kernels.hpp"
#include "kexue/lowrank/sketch.hpp"
#include "kexue/lowrank/squares.hpp"
#include "kexue/simplex/box_projection.hpp"
#include "kexue/simplex/kernels.hpp"
#include "kexue/transport/emo_kernels.hpp"
#include "kexue/transport/kernels.hpp"
#include "kexue/transport/sinkhorn_kernels.hpp"

#if defined(KEXUE_HAVE_AVX2)
#define KEXUE_DISPATCH(Table, name) \
  namespace baseline {              \
  extern const Table name;          \
  }                                 \
  namespace avx2 {                  \
  extern const Table name;          \
  }                                 \
  namespace avx512 {                \
  extern const Table name;          \
  }                                 \
  const Table& name() {             \
    switch (active_isa()) {         \
      case Isa::avx512:             \
        return avx512::name;        \
      case Isa::avx2:               \
        return avx2::name;          \
      default:                      \
        return baseline::name;      \
    }                               \
  }
#else
#define KEXUE_DISPATCH(Table, name) \
  namespace baseline {              \
  extern const Table name;          \
  }                                 \
  const Table& name() { return baseline::name; }
#endif

namespace kexue {

KEXUE_DISPATCH(BoxTables, box_tables)
KEXUE_DISPATCH(ElementaryKernels, elementary_kernels)
KEXUE_DISPATCH(GemmTables, gemm_tables)
KEXUE_DISPATCH(LimitKernels, limit_kernels)
KEXUE_DISPATCH(RandomKernels, random_kernels)
KEXUE_DISPATCH(SketchTables, sketch_tables)
KEXUE_DISPATCH(SquareTables, square_tables)
KEXUE_DISPATCH(simplex::SimplexGradientKernels, simplex_gradient_kernels)
KEXUE_DISPATCH(simplex::SimplexShortKernels, simplex_short_kernels)
KEXUE_DISPATCH(simplex::SimplexSoftmaxKernels, simplex_softmax_kernels)
KEXUE_DISPATCH(simplex::SimplexSparseKernels, simplex_sparse_kernels)
KEXUE_DISPATCH(lattice::PointKernels, point_kernels)
KEXUE_DISPATCH(lattice::TrellisBoundKernels, trellis_bound_kernels)
KEXUE_DISPATCH(lattice::TrellisKernels, trellis_kernels)
KEXUE_DISPATCH(lattice::TrellisSumKernels, trellis_sum_kernels)
KEXUE_DISPATCH(transport::EmoTables, emo_tables)
KEXUE_DISPATCH(VectorTables, vector_tables)

}  // namespace kexue

namespace kexue::density {

KEXUE_DISPATCH(ChartKernels, chart_kernels)
KEXUE_DISPATCH(DensityKernels, density_kernels)
KEXUE_DISPATCH(FitKernels, fit_kernels)

}  // namespace kexue::density

namespace kexue::transport {

KEXUE_DISPATCH(RowKernels, row_kernels)
KEXUE_DISPATCH(ShortKernels, short_kernels)
KEXUE_DISPATCH(SinkhornKernels, sinkhorn_kernels)

}  // namespace kexue::transport
