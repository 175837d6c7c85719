// Plain typed arrays: what every reader returns and every writer takes.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "layeravatar/core/error.h"

namespace layeravatar::io {

enum class DType : std::uint8_t { kBool, kI8, kI16, kI32, kI64, kU8, kU16, kU32, kU64, kF16, kBF16, kF32, kF64 };

/// The 16 bits of an IEEE half and of a bfloat16. Arithmetic happens in float, see to_float.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};
float to_float(Half value);
float to_float(BFloat16 value);
/// The same of many; `out` has room for them.
void to_floats(std::span<const Half> values, float* out);

/// Bytes of one element.
std::size_t size_of(DType dtype);
/// "f32", "i64", "bool", ...
const char* name_of(DType dtype);

/// Elements of a shape (1 for a scalar, 0 with any 0); nothing if a size is negative or the product exceeds 2^63 - 1.
std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape);
/// Bytes of an array in C order; nothing on overflow.
std::optional<std::int64_t> byte_count(DType dtype, const std::vector<std::int64_t>& shape);
/// "(10475, 3)", "(5,)", "()".
std::string shape_text(const std::vector<std::int64_t>& shape);

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return DType::kBool;
  else if constexpr (std::is_same_v<T, std::int8_t>) return DType::kI8;
  else if constexpr (std::is_same_v<T, std::int16_t>) return DType::kI16;
  else if constexpr (std::is_same_v<T, std::int32_t>) return DType::kI32;
  else if constexpr (std::is_same_v<T, std::int64_t>) return DType::kI64;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return DType::kU8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return DType::kU16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return DType::kU32;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return DType::kU64;
  else if constexpr (std::is_same_v<T, Half>) return DType::kF16;
  else if constexpr (std::is_same_v<T, BFloat16>) return DType::kBF16;
  else if constexpr (std::is_same_v<T, float>) return DType::kF32;
  else {
    static_assert(std::is_same_v<T, double>, "no such element type");
    return DType::kF64;
  }
}

/// Bytes that are one's own, or part of memory that several hold: that is copied when somebody asks to write to it.
class Bytes {
 public:
  Bytes() = default;
  Bytes(std::shared_ptr<const void> owner, std::span<const std::byte> shared) : owner_(std::move(owner)), shared_(shared) {}

  [[nodiscard]] std::size_t size() const { return owner_ ? shared_.size() : own_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const std::byte* data() const { return owner_ ? shared_.data() : own_.data(); }
  [[nodiscard]] std::byte* data() { return owned().data(); }
  [[nodiscard]] const std::byte* begin() const { return data(); }
  [[nodiscard]] const std::byte* end() const { return data() + size(); }
  [[nodiscard]] std::byte* begin() { return data(); }
  [[nodiscard]] std::byte* end() { return data() + size(); }
  [[nodiscard]] std::byte& operator[](std::size_t i) { return owned()[i]; }
  [[nodiscard]] const std::byte& operator[](std::size_t i) const { return data()[i]; }
  void resize(std::size_t size) { owned().resize(size); }
  operator std::span<const std::byte>() const { return {data(), size()}; }
  bool operator==(const Bytes& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }
  /// What keeps the memory, null for bytes of one's own.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::vector<std::byte>& owned() {
    if (owner_) {
      own_.assign(shared_.begin(), shared_.end());
      owner_.reset();
    }
    return own_;
  }
  std::vector<std::byte> own_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> shared_;
};

/// An array in C order and the host's byte order (little-endian). `data` holds byte_count(dtype, shape) bytes;
/// a bool is one byte, 0 or 1.
struct Array {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  Bytes data;

  [[nodiscard]] std::size_t count() const { return data.size() / size_of(dtype); }

  /// The elements. Throws Error(kInternal) when T is not the element type: look at `dtype`, or use to_floats.
  template <class T>
  [[nodiscard]] std::span<const T> at() const {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(data.data()), count()};
  }
  template <class T>
  [[nodiscard]] std::span<T> at() {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<T*>(data.data()), count()};
  }

 private:
  void require_dtype(DType wanted) const;
};

using ArrayMap = std::map<std::string, Array>;

/// A zero-filled array. Throws Error(kInternal) when the shape is negative or overflows.
Array make_array(DType dtype, std::vector<std::int64_t> shape);

/// An array that holds a copy of `values`.
template <class T>
Array make_array(std::vector<std::int64_t> shape, std::span<const std::type_identity_t<T>> values) {
  Array array = make_array(dtype_of<T>(), std::move(shape));
  LAV_CHECK(array.count() == values.size(), "the values do not fill the shape " + shape_text(array.shape));
  std::span<T> out = array.at<T>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i];
  return array;
}

/// Checks sizes from a file; -1 in `shape` stands for any size. `label` is "<file>: array 'k'".
/// Throws Error(kInput): "<label>; expected (10475, 3), found (6890, 3)".
void expect_shape(const Array& array, const std::vector<std::int64_t>& shape, const std::string& label);

/// Every element as a float, from any element type (wide integers and doubles are rounded).
std::vector<float> to_floats(const Array& array);
/// Every element as an integer. Throws Error(kInput) "<label>: expected integers, found f32" for floating types and for
/// a u64 beyond 2^63 - 1.
std::vector<std::int64_t> to_integers(const Array& array, const std::string& label);

}  // namespace layeravatar::io
