#include "layeravatar/tensor/convert.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>
#include <memory>

namespace layeravatar::tensor {
namespace {

torch::ScalarType scalar_of(io::DType dtype) {
  switch (dtype) {
    case io::DType::kBool: return torch::kBool;
    case io::DType::kI8: return torch::kInt8;
    case io::DType::kI16: return torch::kInt16;
    case io::DType::kI32: return torch::kInt32;
    case io::DType::kU8: return torch::kUInt8;
    case io::DType::kF16: return torch::kFloat16;
    case io::DType::kBF16: return torch::kBFloat16;
    case io::DType::kF32: return torch::kFloat32;
    case io::DType::kF64: return torch::kFloat64;
    case io::DType::kI64:
    case io::DType::kU16:
    case io::DType::kU32:
    case io::DType::kU64: return torch::kInt64;
  }
  throw Error(ErrorKind::kInternal, "unknown element type");
}

io::DType dtype_of(torch::ScalarType type) {
  switch (type) {
    case torch::kBool: return io::DType::kBool;
    case torch::kInt8: return io::DType::kI8;
    case torch::kInt16: return io::DType::kI16;
    case torch::kInt32: return io::DType::kI32;
    case torch::kInt64: return io::DType::kI64;
    case torch::kUInt8: return io::DType::kU8;
    case torch::kFloat16: return io::DType::kF16;
    case torch::kBFloat16: return io::DType::kBF16;
    case torch::kFloat32: return io::DType::kF32;
    case torch::kFloat64: return io::DType::kF64;
    default: throw Error(ErrorKind::kInternal, fmt::format("tensors of type {} have no array form", c10::toString(type)));
  }
}

void check_floats(const torch::Tensor& tensor, const std::string& name) {
  LAV_CHECK(tensor.scalar_type() == torch::kFloat32 && tensor.device().is_cpu() && tensor.is_contiguous(),
            name + ": expected a contiguous float32 tensor on the CPU");
}

}  // namespace

torch::Tensor to_tensor(const io::Array& array) {
  const torch::ScalarType type = scalar_of(array.dtype);
  torch::Tensor out = torch::empty(array.shape, torch::TensorOptions().dtype(type));
  if (type == torch::kInt64 && array.dtype != io::DType::kI64) {
    const std::vector<std::int64_t> values = io::to_integers(array, "array");
    std::memcpy(out.data_ptr(), values.data(), values.size() * sizeof(std::int64_t));
  } else if (!array.data.empty()) {
    std::memcpy(out.data_ptr(), array.data.data(), array.data.size());
  }
  return out;
}

torch::Tensor share_tensor(const io::Array& array) {
  const bool wide = array.dtype == io::DType::kU16 || array.dtype == io::DType::kU32 || array.dtype == io::DType::kU64;
  if (!array.data.owner() || array.data.empty() || wide) return to_tensor(array);
  return torch::from_blob(const_cast<std::byte*>(array.data.data()), array.shape, [keep = array.data.owner()](void*) mutable { keep.reset(); },
                          torch::TensorOptions().dtype(scalar_of(array.dtype)));
}

io::Array to_array(const torch::Tensor& tensor) {
  const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
  io::Array out = io::make_array(dtype_of(host.scalar_type()), host.sizes().vec());
  if (!out.data.empty()) std::memcpy(out.data.data(), host.data_ptr(), out.data.size());
  return out;
}

io::Array share_array(const torch::Tensor& tensor) {
  const auto host = std::make_shared<const torch::Tensor>(tensor.detach().to(torch::kCPU).contiguous());
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(host->data_ptr()), host->nbytes());
  return {dtype_of(host->scalar_type()), host->sizes().vec(), io::Bytes(host, bytes)};
}

torch::Tensor from_floats(std::span<const float> values, torch::IntArrayRef shape) {
  torch::Tensor out = torch::empty(shape, torch::TensorOptions().dtype(torch::kFloat32));
  LAV_CHECK(out.numel() == static_cast<std::int64_t>(values.size()), "the values do not fill the shape");
  if (!values.empty()) std::memcpy(out.data_ptr(), values.data(), values.size_bytes());
  return out;
}

void expect_shape(const torch::Tensor& tensor, std::initializer_list<std::int64_t> shape, const std::string& name) {
  bool fits = tensor.dim() == static_cast<std::int64_t>(shape.size());
  std::int64_t axis = 0;
  for (const std::int64_t size : shape) {
    fits = fits && (size < 0 || tensor.size(axis) == size);
    ++axis;
  }
  if (fits) return;
  const auto text = [](auto begin, auto end) {
    std::string out;
    for (auto it = begin; it != end; ++it) out += (out.empty() ? "" : ", ") + (*it < 0 ? "*" : std::to_string(*it));
    return "[" + out + "]";
  };
  throw Error(ErrorKind::kInternal, fmt::format("{}: shape {}, expected {}", name,
                                                text(tensor.sizes().begin(), tensor.sizes().end()),
                                                text(shape.begin(), shape.end())));
}

const float* floats(const torch::Tensor& tensor, const std::string& name) {
  check_floats(tensor, name);
  return tensor.data_ptr<float>();
}

float* mutable_floats(torch::Tensor& tensor, const std::string& name) {
  check_floats(tensor, name);
  return tensor.data_ptr<float>();
}

}  // namespace layeravatar::tensor
