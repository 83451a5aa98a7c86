// Words that the workers of a tokenizer's calls remember together.
//
// One worker alone writes to the common memory. Several, or several calls at a time, only read it:
// lines that nobody writes stay in every processor's cache. What a worker learns meanwhile goes to
// a memory of its own, which is added to the common one once no call is running. Nobody waits for
// another: a call that comes while one worker writes does without the common memory.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <utility>
#include <vector>

namespace kexue::lattice {

// `Words` has empty(), forget(), which gives its memory back, and add(more), which takes what is
// not there yet from another one.
template <class Words>
class SharedWords {
 public:
  // What one worker knows. It must not outlive its call.
  class Loan {
   public:
    Loan(SharedWords& shared, Words& common) : shared_(&shared), known_(&common), own_(&common) {}
    Loan(SharedWords& shared, const Words* common, std::unique_ptr<Words> own)
        : shared_(&shared), held_(std::move(own)) {
      own_ = held_.get();
      known_ = common == nullptr ? own_ : common;
    }
    Loan(Loan&&) noexcept = default;
    Loan& operator=(Loan&&) = delete;
    ~Loan() {
      if (held_) shared_->give(std::move(held_));
    }
    // To be looked at first; this may be own().
    const Words& known() const { return *known_; }
    // Takes what is new.
    Words& own() const { return *own_; }
    // Which of the two has a segment, looked up in the known ones, and its value; null if neither.
    template <class Word>
    auto find(const Word& word) const {
      const auto* value = known_->table.find(word);
      const bool here = value != nullptr || known_ == own_;
      if (!here) value = own_->table.find_new(word);
      return std::pair(here ? known_ : own_, value);
    }

   private:
    SharedWords* shared_;
    std::unique_ptr<Words> held_;
    const Words* known_ = nullptr;
    Words* own_ = nullptr;
  };

  // A call with so many workers.
  class Call {
   public:
    Call(std::shared_ptr<SharedWords> shared, int workers) : shared_(std::move(shared)) {
      alone_ = workers == 1 && shared_->common_in_use_.try_lock();
      reads_ = !alone_ && shared_->common_in_use_.try_lock_shared();
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      std::shared_mutex& in_use = shared_->common_in_use_;
      if (reads_) in_use.unlock_shared();
      if (!alone_ && !in_use.try_lock()) return;
      shared_->add_up();
      in_use.unlock();
    }
    Loan lend() const {
      if (alone_) return Loan(*shared_, shared_->common_);
      const bool knows = reads_ && !shared_->common_.empty();
      return Loan(*shared_, knows ? &shared_->common_ : nullptr, shared_->take());
    }

   private:
    std::shared_ptr<SharedWords> shared_;
    bool alone_, reads_;
  };

 private:
  // The first that was given back comes first: a call's first worker meets its own again.
  std::unique_ptr<Words> take() {
    {
      const std::scoped_lock lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Words> words = std::move(idle_.front());
        idle_.erase(idle_.begin());
        return words;
      }
    }
    return std::make_unique<Words>();
  }
  void give(std::unique_ptr<Words> words) noexcept {
    const std::scoped_lock lock(mutex_);
    if (idle_.size() >= kMostIdle) return;
    try {
      idle_.push_back(std::move(words));
    } catch (const std::bad_alloc&) {
      return;  // it is forgotten
    }
  }
  // With the common memory for itself.
  void add_up() noexcept {
    std::vector<std::unique_ptr<Words>> learnt;
    {
      const std::scoped_lock lock(mutex_);
      learnt.swap(idle_);
    }
    for (std::unique_ptr<Words>& words : learnt) {
      try {
        if (common_.empty()) {
          std::swap(common_, *words);
        } else if (!words->empty()) {
          common_.add(*words);
          words->forget();
        }
        give(std::move(words));
      } catch (const std::bad_alloc&) {
        continue;  // they are forgotten
      }
    }
  }

  static constexpr std::size_t kMostIdle = 64;
  std::shared_mutex common_in_use_;
  Words common_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Words>> idle_;
};

}  // namespace kexue::lattice
