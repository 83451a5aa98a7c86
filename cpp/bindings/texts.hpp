// Python's texts as views: str and bytes objects, read where they lie.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/core/text_view.hpp"

namespace kexue::bindings {

namespace py = pybind11;

// A view of a str or bytes object, which must outlive it; false for anything else.
bool view_text(PyObject* text, TextView& view);
inline bool view_text(py::handle object, TextView& view) { return view_text(object.ptr(), view); }

// See TextSource; of an array of objects. What str and bytes objects hold does not change: this
// needs no lock.
std::ptrdiff_t view_texts(const void* items, std::ptrdiff_t begin, std::ptrdiff_t end,
                          TextView* views);

// The items of a tuple, which must outlive it. One worker looks at the objects when it gets to
// them. For more, the caller looks at all: it counts the references to them, and would wait for
// what another processor has looked at since.
class Texts {
 public:
  Texts(const py::tuple& items, int workers)
      : objects_(&PyTuple_GET_ITEM(items.ptr(), 0)),
        size_(static_cast<std::ptrdiff_t>(items.size())) {
    if (planned_workers(size_, workers) == 1) return;
    views_.resize(items.size());
    n_views_ = view_texts(objects_, 0, size_, views_.data());
  }
  TextSource source() const {
    if (views_.empty()) return {objects_, size_, view_texts};
    return {this, size_, copy};
  }

 private:
  static std::ptrdiff_t copy(const void* texts, std::ptrdiff_t begin, std::ptrdiff_t end,
                             TextView* views) {
    const auto& self = *static_cast<const Texts*>(texts);
    const std::ptrdiff_t stop = std::max(begin, std::min(end, self.n_views_));
    std::copy_n(self.views_.data() + begin, stop - begin, views);
    return stop;
  }

  PyObject* const* objects_;
  std::ptrdiff_t size_, n_views_ = 0;
  std::vector<TextView> views_;
};

// Rows of bytes as a list of bytes objects, or of str where `errors` says what to do with bytes
// that are no UTF-8.
inline py::list list_of_rows(const std::uint8_t* bytes, const std::vector<std::int64_t>& offsets,
                             const char* errors) {
  const auto* text = reinterpret_cast<const char*>(bytes);
  py::list rows(offsets.size() - 1);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    const char* begin = text + offsets[i];
    const py::ssize_t size = offsets[i + 1] - offsets[i];
    PyObject* row = errors == nullptr ? PyBytes_FromStringAndSize(begin, size)
                                      : PyUnicode_DecodeUTF8(begin, size, errors);
    if (row == nullptr) throw py::error_already_set();
    PyList_SET_ITEM(rows.ptr(), static_cast<py::ssize_t>(i), row);
  }
  return rows;
}

}  // namespace kexue::bindings
