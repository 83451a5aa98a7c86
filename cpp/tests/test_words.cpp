// Threads that use one tokenizer at the same time: what they remember together changes no result.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.hpp"
#include "kexue/core/rng.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace {

using kexue::Storage;
using kexue::TextSource;
using kexue::TextView;
using kexue::lattice::SampleMethod;
using kexue::lattice::Tokenizer;
using kexue::lattice::Tokens;
using kexue::lattice::Unigram;

std::ptrdiff_t view(const void* items, std::ptrdiff_t begin, std::ptrdiff_t end, TextView* views) {
  const auto* texts = static_cast<const std::string*>(items);
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    views[i - begin] = {texts[i].data(), std::ssize(texts[i]), Storage::kAscii};
  }
  return end;
}

class Numbers {
 public:
  int below(int n) {
    return static_cast<int>((state_ = state_ * 6364136223846793005 + 11) >> 40) % n;
  }

 private:
  std::uint64_t state_ = 1;
};

// Words of an alphabet of six letters between spaces, some longer than any that is remembered.
std::vector<std::string> make_texts(int n) {
  Numbers numbers;
  std::vector<std::string> texts(static_cast<std::size_t>(n));
  for (std::string& text : texts) {
    for (int words = numbers.below(12); words > 0; --words) {
      text += ' ';
      const int longest = numbers.below(20) == 0 ? 80 : 8;
      for (int k = numbers.below(longest); k >= 0; --k) {
        text += static_cast<char>('a' + numbers.below(6));
      }
    }
  }
  return texts;
}

std::unique_ptr<Tokenizer> make_tokenizer() {
  std::vector<std::string_view> pieces = {" ",  "a",  "b",  "c",  "d",   "e",   "f",
                                          "ab", "bc", "cd", "de", "abc", "fed", "ace"};
  std::vector<double> scores;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    scores.push_back(-2.0 - 0.125 * static_cast<double>(i));
  }
  const std::vector<kexue::lattice::PieceType> types(pieces.size(),
                                                     kexue::lattice::PieceType::kNormal);
  return std::make_unique<Tokenizer>(
      std::make_shared<Unigram>(pieces, scores, types, kexue::lattice::UnigramOptions{}), nullptr);
}

constexpr int kKinds = 4;
Tokens run(const Tokenizer& tokenizer, const TextSource& texts, int kind, int workers) {
  if (kind == 0) return tokenizer.encode(texts, workers);
  if (kind == 1) return tokenizer.best(texts, 4, workers);
  return tokenizer.sample(texts, 0.3, kind == 2 ? 1 : 3, {5, 6}, 0, SampleMethod::kExact, workers);
}

bool same(const Tokens& a, const Tokens& b) {
  return a.offsets == b.offsets && a.scores == b.scores && a.ids.size() == b.ids.size() &&
         std::equal(a.ids.data(), a.ids.data() + a.ids.size(), b.ids.data());
}

void threads_remember_together() {
  const std::vector<std::string> texts = make_texts(300);
  const TextSource source{texts.data(), std::ssize(texts), view};
  std::vector<Tokens> due;
  for (int kind = 0; kind < kKinds; ++kind) {
    due.push_back(run(*make_tokenizer(), source, kind, 1));
    CHECK(due.back().ids.size() > 0);
  }
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 12; ++round) {
        if (t == 0 && round % 4 == 3) tokenizer->forget();
        const int kind = (t + round) % kKinds;
        const Tokens rows = run(*tokenizer, source, kind, 1 + (t + round / 2) % 3);
        if (!same(rows, due[static_cast<std::size_t>(kind)])) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace

int main() { return run_tests({{"threads remember together", threads_remember_together}}); }
