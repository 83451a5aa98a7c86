#include "kexue/lattice/seed_pieces.hpp"

#include <algorithm>
#include <numeric>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {
namespace {

constexpr std::size_t kBuckets = std::size_t{1} << 16;

struct Suffix {
  std::uint32_t place, chunk;
};
struct Candidate {
  std::uint32_t place;
  std::uint16_t size, characters;
  double count;
  double score() const { return count * characters; }
};

bool continues(char byte) { return (byte & 0xC0) == 0x80; }

class Sorter {
 public:
  Sorter(std::string_view text, std::span<const Index> begin, std::span<const double> counts,
         const SeedRules& rules)
      : text_(text), begin_(begin), counts_(counts), rules_(rules) {
    place_suffixes();
  }

  std::size_t n_buckets() const { return kBuckets; }
  std::size_t work(std::size_t bucket) const { return first_[bucket + 1] - first_[bucket]; }

  // Appends the candidates that begin with the two bytes of the bucket.
  void search(std::size_t bucket, std::vector<Candidate>& out) {
    const auto begin = suffixes_.begin() + static_cast<std::ptrdiff_t>(first_[bucket]);
    const auto end = suffixes_.begin() + static_cast<std::ptrdiff_t>(first_[bucket + 1]);
    if (begin == end) return;
    std::sort(begin, end, [&](const Suffix& a, const Suffix& b) {
      const int order = suffix(a).compare(suffix(b));
      return order != 0 ? order < 0 : a.place < b.place;
    });
    // Intervals of suffixes that share `size` bytes, the deepest on top.
    struct Open {
      std::size_t size;
      double count;
    };
    std::vector<Open> open;
    std::string_view last;
    const auto close = [&](std::size_t shared) {
      while (!open.empty() && open.back().size > shared) {
        const Open top = open.back();
        open.pop_back();
        offer(last.substr(0, top.size), top.count, out);
        const bool has_parent = !open.empty() && open.back().size >= shared;
        if (has_parent) {
          open.back().count += top.count;
        } else if (shared > 0) {
          open.push_back({shared, top.count});
        }
      }
    };
    for (auto it = begin; it != end; ++it) {
      const std::string_view here = suffix(*it);
      close(common(last, here));
      if (open.empty() || open.back().size < here.size()) open.push_back({here.size(), 0});
      open.back().count += counts_[it->chunk];
      last = here;
    }
    close(0);
  }

  // Once all buckets are searched.
  void release() { std::vector<Suffix>().swap(suffixes_); }

  std::string_view at(const Candidate& c) const { return text_.substr(c.place, c.size); }

 private:
  // The longest piece that begins at a suffix.
  std::string_view suffix(const Suffix& s) const {
    const auto stop = static_cast<std::size_t>(begin_[s.chunk + 1]);
    const std::size_t most = std::min(stop - s.place, static_cast<std::size_t>(4 * rules_.longest));
    std::size_t size = 0;
    const char* bytes = text_.data() + s.place;
    std::ptrdiff_t characters = 0;
    if (most <= static_cast<std::size_t>(rules_.longest)) return {bytes, most};
    for (; size < most; ++size) {
      if (!continues(bytes[size]) && ++characters > rules_.longest) break;
    }
    return {bytes, size};
  }
  // Bytes of the characters that both begin with.
  static std::size_t common(std::string_view a, std::string_view b) {
    const std::size_t most = std::min(a.size(), b.size());
    std::size_t size = 0;
    while (size < most && a[size] == b[size]) ++size;
    const auto inside = [&](std::string_view x) { return size < x.size() && continues(x[size]); };
    while (size > 0 && (inside(a) || inside(b))) --size;
    return size;
  }
  std::size_t bucket_of(std::size_t place) const {
    const auto byte = [&](std::size_t i) {
      return std::size_t{static_cast<unsigned char>(text_[i])};
    };
    return byte(place) << 8 | byte(place + 1);
  }
  // Every place where a piece of at least two characters may begin, by its first two bytes.
  template <class Visit>
  void visit_suffixes(Visit&& visit) const {
    for (std::size_t c = 0; c < counts_.size(); ++c) {
      const auto stop = static_cast<std::size_t>(begin_[c + 1]);
      for (auto i = static_cast<std::size_t>(begin_[c]); i + 1 < stop; ++i) {
        if (!continues(text_[i])) visit(i, c);
      }
    }
  }
  void place_suffixes() {
    first_.assign(kBuckets + 1, 0);
    visit_suffixes([&](std::size_t i, std::size_t) { ++first_[bucket_of(i) + 1]; });
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
    suffixes_.resize(first_.back());
    visit_suffixes([&](std::size_t i, std::size_t c) {
      suffixes_[next[bucket_of(i)]++] = {static_cast<std::uint32_t>(i),
                                         static_cast<std::uint32_t>(c)};
    });
  }
  void offer(std::string_view piece, double count, std::vector<Candidate>& out) const {
    if (count < rules_.min_count) return;
    std::ptrdiff_t characters = 0, spaces = 0;
    for (char byte : piece) {
      characters += continues(byte) ? 0 : 1;
      spaces += byte == ' ' ? 1 : 0;
    }
    if (characters < 2) return;
    if (spaces == characters && !rules_.whitespace_only) return;
    const char outer = rules_.whitespace_as_suffix ? piece.front() : piece.back();
    if (outer == ' ' && spaces < characters) return;
    out.push_back({static_cast<std::uint32_t>(piece.data() - text_.data()),
                   static_cast<std::uint16_t>(piece.size()), static_cast<std::uint16_t>(characters),
                   count});
  }

  std::string_view text_;
  std::span<const Index> begin_;
  std::span<const double> counts_;
  const SeedRules& rules_;
  std::vector<std::uint32_t> first_;
  std::vector<Suffix> suffixes_;
};

}  // namespace

Chunks seed_pieces(std::string_view text, std::span<const Index> begin,
                   std::span<const double> counts, const SeedRules& rules, int workers) {
  require(text.size() < std::size_t{1} << 32, "the chunks must have less than 4 GiB");
  Sorter sorter(text, begin, counts, rules);
  const auto better = [&](const Candidate& a, const Candidate& b) {
    return a.score() != b.score() ? a.score() > b.score() : sorter.at(a) < sorter.at(b);
  };
  const auto size = static_cast<std::size_t>(rules.size);
  const auto shrink = [&](std::vector<Candidate>& list) {
    if (list.size() <= size) return;
    std::nth_element(list.begin(), list.begin() + rules.size, list.end(), better);
    list.resize(size);
  };
  // Groups of buckets of about equal work, the same for every number of workers.
  constexpr std::size_t kGroups = 64;
  std::size_t all = 0, done = 0;
  for (std::size_t b = 0; b < sorter.n_buckets(); ++b) all += sorter.work(b);
  std::vector<std::size_t> first{0};
  for (std::size_t b = 0; b < sorter.n_buckets(); ++b) {
    done += sorter.work(b);
    if (done * kGroups > first.size() * all) first.push_back(b + 1);
  }
  first.push_back(sorter.n_buckets());
  std::vector<std::vector<Candidate>> parts(first.size() - 1);
  parallel_for(
      std::ssize(parts),
      [&](std::ptrdiff_t group, int) {
        auto& part = parts[static_cast<std::size_t>(group)];
        for (std::size_t b = first[group]; b < first[group + 1]; ++b) sorter.search(b, part);
        shrink(part);
      },
      workers);
  sorter.release();
  std::vector<Candidate> found;
  for (auto& part : parts) {
    found.insert(found.end(), part.begin(), part.end());
    std::vector<Candidate>().swap(part);
    if (found.size() > 2 * size) shrink(found);
  }
  shrink(found);
  std::sort(found.begin(), found.end(), better);

  Chunks seeds;
  const auto add = [&](std::string_view piece, double count) {
    seeds.text.append(piece);
    seeds.begin.push_back(static_cast<Index>(seeds.text.size()));
    seeds.counts.push_back(count);
  };
  const CharacterCounts characters = count_characters(text, begin, counts);
  std::size_t n_bytes = 4 * characters.code.size();
  for (const Candidate& candidate : found) n_bytes += candidate.size;
  const std::size_t n_seeds = characters.code.size() + found.size();
  seeds.text.reserve(n_bytes);
  seeds.begin.reserve(n_seeds + 1);
  seeds.counts.reserve(n_seeds);
  std::vector<std::size_t> order(characters.code.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto more = characters.count[a], less = characters.count[b];
    return more != less ? more > less : a < b;
  });
  std::string bytes;
  for (std::size_t i : order) {
    bytes.clear();
    encode(characters.code[i], bytes);
    add(bytes, characters.count[i]);
  }
  for (const Candidate& candidate : found) add(sorter.at(candidate), candidate.count);
  return seeds;
}

}  // namespace kexue::lattice
