#include "kexue/core/memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace kexue {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kLeast = std::size_t{64} << 10;
// Sanitizers must see every block freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kMost = 0;
#else
constexpr std::size_t kMost = std::size_t{128} << 20;
#endif
constexpr std::size_t kBlocks = 64;

// Eight sizes to a power of two: a block serves all requests of its size, and wastes an eighth.
std::size_t block_size(std::size_t bytes) {
  if (bytes < kLeast) return bytes;
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

struct Block {
  void* memory = nullptr;
  std::size_t size = 0;
};

// Oldest first. A list of a few dozen is searched in less time than one page takes to make.
class Store {
 public:
  void* take(std::size_t size) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    for (std::size_t i = count_; i-- > 0;) {
      if (blocks_[i].size == size) return remove(i);
    }
    return nullptr;
  }

  // Takes the block in, or returns false; what has to go for it is listed in `dropped`.
  bool give(Block block, std::array<Block, kBlocks>& dropped, std::size_t& n_dropped) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || block.size > kMost) return false;
    while (count_ == kBlocks || kept_ + block.size > kMost) {
      const std::size_t size = blocks_[0].size;
      dropped[n_dropped++] = {remove(0), size};
    }
    blocks_[count_++] = block;
    kept_ += block.size;
    return true;
  }

  void drop(std::array<Block, kBlocks>& dropped, std::size_t& n_dropped) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return;
    dropped = blocks_;
    n_dropped = std::exchange(count_, 0);
    kept_ = 0;
  }

  std::size_t kept() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    return lock ? kept_ : 0;
  }

 private:
  void* remove(std::size_t i) {
    void* memory = blocks_[i].memory;
    kept_ -= blocks_[i].size;
    std::move(blocks_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
              blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
              blocks_.begin() + static_cast<std::ptrdiff_t>(i));
    --count_;
    return memory;
  }

  // Only ever tried: after a fork it may be locked for good, and memory then comes from the system.
  std::mutex mutex_;
  std::array<Block, kBlocks> blocks_;
  std::size_t count_ = 0, kept_ = 0;
};

// Large blocks begin in the middle of a page, where arrays of NumPy begin at its start: a store and
// a later load with the same last twelve bits of their addresses wait for one another, and a loop
// over two arrays that begin 48 bytes apart takes up to three times as long (Zen 4, stores past the
// cache).
constexpr std::size_t kPage = 4096, kWithin = kPage / 2;

// From here on the system is asked for large pages: fewer faults when a block is new, and fewer
// misses of the address cache in loops that jump about in it. As NumPy does for its arrays.
constexpr std::size_t kLargePages = std::size_t{4} << 20;

void advise([[maybe_unused]] std::byte* page, [[maybe_unused]] std::size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // An advice: where it is refused, the block has small pages.
  if (size >= kLargePages) static_cast<void>(::madvise(page, size, MADV_HUGEPAGE));
#endif
}

void* new_block(std::size_t size) {
  if (size < kLeast) return ::operator new(size, kAlignment);
  auto* page = static_cast<std::byte*>(::operator new(size + kPage, std::align_val_t{kPage}));
  advise(page, size);
  return page + kWithin;
}
void delete_block(void* memory, std::size_t size) {
  if (size < kLeast) {
    ::operator delete(memory, kAlignment);
  } else {
    ::operator delete(static_cast<std::byte*>(memory) - kWithin, std::align_val_t{kPage});
  }
}

// Never destroyed: buffers may be freed after static objects are.
Store& store() {
  static Store& instance = *new Store;
  return instance;
}

}  // namespace

void* take_memory(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  if (size >= kLeast && size <= kMost) {
    if (void* memory = store().take(size)) return memory;
  }
  return new_block(size);
}

void give_memory(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  const std::size_t size = block_size(bytes);
  std::array<Block, kBlocks> dropped;
  std::size_t n_dropped = 0;
  if (size < kLeast || !store().give({memory, size}, dropped, n_dropped)) {
    delete_block(memory, size);
  }
  for (std::size_t i = 0; i < n_dropped; ++i) delete_block(dropped[i].memory, dropped[i].size);
}

std::size_t kept_memory() noexcept { return store().kept(); }

void drop_memory() noexcept {
  std::array<Block, kBlocks> dropped;
  std::size_t n_dropped = 0;
  store().drop(dropped, n_dropped);
  for (std::size_t i = 0; i < n_dropped; ++i) delete_block(dropped[i].memory, dropped[i].size);
}

}  // namespace kexue
