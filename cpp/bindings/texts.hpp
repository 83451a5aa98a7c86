// Python's texts as views: str and bytes objects, read where they lie.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kexue/core/text_view.hpp"

namespace kexue::bindings {

namespace py = pybind11;

// A view of a str or bytes object, which must outlive it; false for anything else.
inline bool view_text(py::handle object, TextView& view) {
  PyObject* const text = object.ptr();
  if (PyBytes_Check(text)) {
    view = {PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), Storage::kBytes};
    return true;
  }
  if (!PyUnicode_Check(text)) return false;
  const int width = static_cast<int>(PyUnicode_KIND(text));
  const Storage wide = width == 2 ? Storage::kUcs2 : Storage::kUcs4;
  const Storage narrow = PyUnicode_IS_ASCII(text) ? Storage::kAscii : Storage::kLatin1;
  view = {PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), width == 1 ? narrow : wide};
  return true;
}

// Views of all items of a tuple, which must outlive them. `wrong` is the first that is no text.
struct Texts {
  explicit Texts(const py::tuple& items) {
    views.resize(items.size());
    for (std::size_t i = 0; i < views.size() && wrong < 0; ++i) {
#if defined(__GNUC__)
      constexpr std::size_t kAhead = 12;  // the objects lie scattered in memory
      if (i + kAhead < views.size()) {
        __builtin_prefetch(PyTuple_GET_ITEM(items.ptr(), static_cast<py::ssize_t>(i + kAhead)));
      }
#endif
      if (!view_text(PyTuple_GET_ITEM(items.ptr(), static_cast<py::ssize_t>(i)), views[i])) {
        wrong = static_cast<std::ptrdiff_t>(i);
      }
    }
  }
  std::vector<TextView> views;
  std::ptrdiff_t wrong = -1;
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
