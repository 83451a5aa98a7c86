// Large blocks of memory that outlive their buffers.
//
// A fresh block comes from the system as pages that are made, and cleared, one by one when they are
// first touched: 0.1 to 0.4 ns a byte, which is more than most kernels here take to fill it. Blocks
// of 64 KiB and more are therefore kept when they are freed, 128 MiB in all, and handed out again.
// The oldest go first. Thread-safe; a forked child keeps none of its parent's locks waiting.
#pragma once

#include <cstddef>

namespace kexue {

// Uninitialised memory of at least `bytes` bytes, aligned to 64. std::bad_alloc if there is none.
void* take_memory(std::size_t bytes);
// `bytes` as it was asked for.
void give_memory(void* memory, std::size_t bytes) noexcept;

// Bytes kept at the moment, and giving them back to the system.
std::size_t kept_memory() noexcept;
void drop_memory() noexcept;

}  // namespace kexue
