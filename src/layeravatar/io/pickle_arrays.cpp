#include "layeravatar/io/pickle_arrays.h"

#include <algorithm>
#include <cstring>

namespace layeravatar::io {
namespace {
template <class T>
bool scatter(const SparseMatrix& m, std::span<const T> data, std::span<T> out) {
  const auto places = to_integers(m.indices, "indices");
  const auto begins = to_integers(m.indptr, "indptr");
  const std::int64_t lines = m.by_row ? m.rows : m.columns;
  const std::int64_t length = m.by_row ? m.columns : m.rows;
  if (static_cast<std::int64_t>(begins.size()) - 1 != lines || places.size() != data.size()) return false;
  if (begins.front() != 0 || begins.back() != static_cast<std::int64_t>(data.size())) return false;
  if (!std::is_sorted(begins.begin(), begins.end())) return false;
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t k = begins[static_cast<std::size_t>(line)]; k < begins[static_cast<std::size_t>(line) + 1]; ++k) {
      const std::int64_t place = places[static_cast<std::size_t>(k)];
      if (place < 0 || place >= length) return false;
      const std::int64_t at = m.by_row ? line * m.columns + place : place * m.columns + line;
      out[static_cast<std::size_t>(at)] += data[static_cast<std::size_t>(k)];
    }
  }
  return true;
}

bool is_integer(DType dtype) {
  return dtype != DType::kF16 && dtype != DType::kBF16 && dtype != DType::kF32 && dtype != DType::kF64;
}
}  // namespace

std::string problem_of(const StridedView& view, std::int64_t count) {
  const auto elements = element_count(view.size);
  if (view.size.size() != view.stride.size() || view.size.size() > 64) return "sizes and strides of a tensor do not agree";
  if (!elements || !byte_count(view.dtype, view.size)) return "tensor of shape " + shape_text(view.size) + " is too large";
  if (view.offset < 0) return "negative storage offset";
  std::int64_t last = view.offset;
  for (std::size_t d = 0; d < view.size.size(); ++d) {
    if (view.stride[d] < 0) return "negative stride";
    if (*elements == 0) continue;
    std::int64_t span = 0;
    if (__builtin_mul_overflow(view.size[d] - 1, view.stride[d], &span) || __builtin_add_overflow(last, span, &last)) {
      return "tensor reaches beyond its storage";
    }
  }
  if (*elements == 0 ? view.offset > count : last >= count) return "tensor reaches beyond its storage";
  return "";
}

Array copy_strided(const StridedView& view, std::string_view storage, bool swap) {
  Array array = make_array(view.dtype, view.size);
  const std::size_t size = size_of(view.dtype);
  // The last dimensions that lie as in C order are copied as one run.
  std::size_t outer = view.size.size();
  std::int64_t run = 1;
  while (outer > 0 && (view.stride[outer - 1] == run || view.size[outer - 1] == 1)) run *= view.size[--outer];
  const std::size_t bytes = static_cast<std::size_t>(run) * size;
  std::vector<std::int64_t> index(outer, 0);
  std::int64_t from = view.offset;
  for (std::size_t to = 0; to < array.data.size(); to += bytes) {
    std::memcpy(&array.data[to], storage.data() + static_cast<std::size_t>(from) * size, bytes);
    for (std::size_t d = outer; d-- > 0;) {
      from += view.stride[d];
      if (++index[d] < view.size[d]) break;
      from -= view.stride[d] * view.size[d];
      index[d] = 0;
    }
  }
  if (swap) {
    for (std::size_t i = 0; i < array.data.size(); i += size) std::reverse(&array.data[i], &array.data[i] + size);
  }
  if (view.dtype == DType::kBool) {
    for (std::byte& value : array.data) value = value == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return array;
}

std::optional<Array> make_dense(const SparseMatrix& matrix) {
  if (!is_integer(matrix.indices.dtype) || !is_integer(matrix.indptr.dtype) || matrix.indptr.count() == 0) return std::nullopt;
  const bool wide = matrix.data.dtype == DType::kF64;
  Array out = make_array(wide ? DType::kF64 : DType::kF32, {matrix.rows, matrix.columns});
  const bool good = wide ? scatter<double>(matrix, matrix.data.at<double>(), out.at<double>())
                         : scatter<float>(matrix, to_floats(matrix.data), out.at<float>());
  return good ? std::optional<Array>(std::move(out)) : std::nullopt;
}

}  // namespace layeravatar::io
