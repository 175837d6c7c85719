#include "layeravatar/io/array.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "layeravatar/core/clones.h"

namespace layeravatar::io {
namespace {
static_assert(std::endian::native == std::endian::little, "the file readers assume a little-endian host");

// Calls `body` with the elements of the array, in their own type.
template <class Body>
void visit_elements(const Array& array, Body&& body) {
  switch (array.dtype) {
    case DType::kBool: return body(array.at<bool>());
    case DType::kI8: return body(array.at<std::int8_t>());
    case DType::kI16: return body(array.at<std::int16_t>());
    case DType::kI32: return body(array.at<std::int32_t>());
    case DType::kI64: return body(array.at<std::int64_t>());
    case DType::kU8: return body(array.at<std::uint8_t>());
    case DType::kU16: return body(array.at<std::uint16_t>());
    case DType::kU32: return body(array.at<std::uint32_t>());
    case DType::kU64: return body(array.at<std::uint64_t>());
    case DType::kF16: return body(array.at<Half>());
    case DType::kBF16: return body(array.at<BFloat16>());
    case DType::kF32: return body(array.at<float>());
    case DType::kF64: return body(array.at<double>());
  }
}
}  // namespace

float to_float(Half value) {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (value.bits >> 10U) & 0x1FU;
  const std::uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 0) {  // zero and subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255U : exponent + 112U;  // bias 15 to bias 127
  return std::bit_cast<float>(sign | (wide << 23U) | (mantissa << 13U));
}

// As to_float, without branches.
LAV_CLONES void to_floats(std::span<const Half> values, float* out) {
  constexpr std::uint32_t kInfinite = 0x7C00U << 13U, kSmallest = 0x400U << 13U, kRebias = 112U << 23U;
  const Half* from = values.data();
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = from[i].bits, magnitude = (bits & 0x7FFFU) << 13U;
    const std::uint32_t normal = magnitude + (magnitude >= kInfinite ? 2 * kRebias : kRebias);
    const auto subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(normal + kSmallest) - 0x1p-14F);
    out[i] = std::bit_cast<float>((magnitude < kSmallest ? subnormal : normal) | (bits & 0x8000U) << 16U);
  }
}

float to_float(BFloat16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U); }

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kI8:
    case DType::kU8: return 1;
    case DType::kI16:
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kI32:
    case DType::kU32:
    case DType::kF32: return 4;
    case DType::kI64:
    case DType::kU64:
    case DType::kF64: return 8;
  }
  LAV_CHECK(false, "unknown element type");
}

const char* name_of(DType dtype) {
  static constexpr const char* kNames[] = {"bool", "i8",  "i16", "i32",  "i64", "u8", "u16",
                                           "u32",  "u64", "f16", "bf16", "f32", "f64"};
  return kNames[static_cast<std::size_t>(dtype)];
}

std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape) {
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
  }
  if (empty) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (count > std::numeric_limits<std::int64_t>::max() / size) return std::nullopt;
    count *= size;
  }
  return count;
}

std::optional<std::int64_t> byte_count(DType dtype, const std::vector<std::int64_t>& shape) {
  const auto count = element_count(shape);
  const auto size = static_cast<std::int64_t>(size_of(dtype));
  if (!count || *count > std::numeric_limits<std::int64_t>::max() / size) return std::nullopt;
  return *count * size;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

void Array::require_dtype(DType wanted) const {
  LAV_CHECK(dtype == wanted, std::string("the array holds ") + name_of(dtype) + ", asked for " + name_of(wanted));
}

Array make_array(DType dtype, std::vector<std::int64_t> shape) {
  const auto bytes = byte_count(dtype, shape);
  LAV_CHECK(bytes.has_value(), "no such shape: " + shape_text(shape));
  Array array{dtype, std::move(shape), {}};
  array.data.resize(static_cast<std::size_t>(*bytes));
  return array;
}

void expect_shape(const Array& array, const std::vector<std::int64_t>& shape, const std::string& label) {
  bool same = array.shape.size() == shape.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = shape[i] < 0 || shape[i] == array.shape[i];
  if (!same) {
    throw Error(ErrorKind::kInput, label + "; expected " + shape_text(shape) + ", found " + shape_text(array.shape));
  }
}

std::vector<float> to_floats(const Array& array) {
  if (array.dtype == DType::kF32) return {array.at<float>().begin(), array.at<float>().end()};
  std::vector<float> out(array.count());
  visit_elements(array, [&out]<class T>(std::span<const T> values) {
    if constexpr (std::is_same_v<T, Half>) return to_floats(values, out.data());
    else
      std::transform(values.begin(), values.end(), out.begin(), [](const T& value) {
        if constexpr (std::is_class_v<T>) return to_float(value);
        else return static_cast<float>(value);
      });
  });
  return out;
}

std::vector<std::int64_t> to_integers(const Array& array, const std::string& label) {
  std::vector<std::int64_t> out;
  out.reserve(array.count());
  visit_elements(array, [&]<class T>(std::span<const T> values) {
    if constexpr (!std::is_integral_v<T>) {
      throw Error(ErrorKind::kInput, label + ": expected integers, found " + name_of(array.dtype));
    } else {
      for (const T& value : values) {
        if constexpr (std::is_same_v<T, std::uint64_t>) {
          if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            throw Error(ErrorKind::kInput, label + ": expected at most 2^63 - 1, found " + std::to_string(value));
          }
        }
        out.push_back(static_cast<std::int64_t>(value));
      }
    }
  });
  return out;
}

}  // namespace layeravatar::io
