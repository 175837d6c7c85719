// Tensors of a pack by name, with checks. No LibTorch.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "layeravatar/io/array.h"

namespace layeravatar::avatar {

/// Each throws Error(kInput), "<file>: tensor '<name>'...", for one that is missing or of another size; -1 stands for any.
struct PackReader {
  const io::ArrayMap& arrays;
  const std::string& file;

  [[noreturn]] void reject(const std::string& what) const;
  [[nodiscard]] const io::Array& need(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// Finite ones.
  [[nodiscard]] std::vector<float> floats(const std::string& name, const std::vector<std::int64_t>& shape) const;
  [[nodiscard]] std::vector<std::int64_t> integers(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// Rows of mostly zeros, whole again; `normalise`: to sum 1, what float16 took away.
  [[nodiscard]] std::vector<float> sparse(const std::string& name, std::int64_t rows, std::int64_t columns, bool normalise) const;
  /// Skinning weights [rows, 55], dense or sparse.
  [[nodiscard]] std::vector<float> weights(const std::string& name, std::int64_t rows) const;
  /// Shape directions of 10 or 20 columns as [rows, 3, 20].
  [[nodiscard]] std::vector<float> basis(const std::string& name, std::int64_t rows) const;
};

}  // namespace layeravatar::avatar
