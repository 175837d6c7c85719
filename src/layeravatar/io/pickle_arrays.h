// How pickled libraries lay out their arrays.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

/// A view of a tensor's storage: element (i, j) lies at offset + i * stride[0] + j * stride[1].
struct StridedView {
  DType dtype = DType::kF32;
  std::int64_t offset = 0;  // all in elements
  std::vector<std::int64_t> size;
  std::vector<std::int64_t> stride;
};
/// What is wrong with the view of a storage of `count` elements; empty when every element lies inside.
std::string problem_of(const StridedView& view, std::int64_t count);
/// The elements in C order. `problem_of` has passed.
Array copy_strided(const StridedView& view, std::string_view storage, bool swap);

/// A compressed sparse matrix: line i (a column, or a row where `by_row`) holds data[k] at place indices[k], for k from
/// indptr[i] to indptr[i + 1]. Entries that occur twice add up.
struct SparseMatrix {
  const Array& data;
  const Array& indices;
  const Array& indptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool by_row = false;
};
/// f64 when the data are, else f32. Nothing when the parts do not fit together. Takes rows * columns * 8 bytes at most.
std::optional<Array> make_dense(const SparseMatrix& matrix);

}  // namespace layeravatar::io
