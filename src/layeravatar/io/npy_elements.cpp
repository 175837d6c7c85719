#include "layeravatar/io/npy_elements.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace layeravatar::io {
namespace {
constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"b1", DType::kBool}, {"i1", DType::kI8},  {"i2", DType::kI16}, {"i4", DType::kI32},
    {"i8", DType::kI64},  {"u1", DType::kU8},  {"u2", DType::kU16}, {"u4", DType::kU32},
    {"u8", DType::kU64},  {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64}};

// Copies elements that lie in Fortran order (first index fastest) into C order.
void copy_fortran(const char* from, Array& array) {
  const std::size_t size = size_of(array.dtype);
  const std::size_t rank = array.shape.size();
  std::vector<std::size_t> stride(rank, size);
  for (std::size_t d = 1; d < rank; ++d) stride[d] = stride[d - 1] * static_cast<std::size_t>(array.shape[d - 1]);
  std::vector<std::int64_t> index(rank, 0);
  std::size_t source = 0;
  for (std::size_t i = 0; i < array.data.size(); i += size) {
    std::memcpy(&array.data[i], from + source, size);
    for (std::size_t d = rank; d-- > 0;) {
      source += stride[d];
      if (++index[d] < array.shape[d]) break;
      source -= stride[d] * static_cast<std::size_t>(array.shape[d]);
      index[d] = 0;
    }
  }
}
}  // namespace

std::string_view numpy_type(DType dtype) {
  for (const auto& [name, type] : kTypes) {
    if (type == dtype) return name;
  }
  return {};
}

ElementType parse_element_type(const std::string& descr, const std::string& file, const std::string& part) {
  std::string_view body = descr;
  char order = '=';
  if (!body.empty() && std::string_view("<>|=").find(body[0]) != std::string_view::npos) {
    order = body[0];
    body.remove_prefix(1);
  }
  if (!body.empty() && body[0] == 'O') {
    throw Error(ErrorKind::kInput, file + ": array of Python objects is not supported");
  }
  for (const auto& [name, dtype] : kTypes) {
    if (name == body) return {dtype, order == '>' && size_of(dtype) > 1};
  }
  throw Error(ErrorKind::kInput,
              file + ": " + part + "; expected a type of f2 f4 f8 i1..i8 u1..u8 b1, found '" + descr + "'");
}

Array decode_elements(ElementType type, std::vector<std::int64_t> shape, bool fortran, std::string_view data) {
  Array array = make_array(type.dtype, std::move(shape));
  LAV_CHECK(array.data.size() <= data.size(), "the bytes do not fill the shape " + shape_text(array.shape));
  if (fortran && array.shape.size() > 1) {
    copy_fortran(data.data(), array);
  } else if (!array.data.empty()) {
    std::memcpy(array.data.data(), data.data(), array.data.size());
  }
  if (type.swap) {
    const std::size_t size = size_of(type.dtype);
    for (std::size_t i = 0; i < array.data.size(); i += size) std::reverse(&array.data[i], &array.data[i] + size);
  }
  if (type.dtype == DType::kBool) {
    for (std::byte& value : array.data) value = value == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return array;
}

}  // namespace layeravatar::io
