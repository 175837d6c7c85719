#include "layeravatar/avatar/pack_reader.h"

#include <fmt/format.h>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/finite.h"

namespace layeravatar::avatar {

using body::kBetas;
using body::kJoints;
using body::kShapeColumns;

void PackReader::reject(const std::string& what) const { throw Error(ErrorKind::kInput, file + ": " + what); }

const io::Array& PackReader::need(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const auto it = arrays.find(name);
  if (it == arrays.end()) reject(fmt::format("tensor '{}' is missing", name));
  io::expect_shape(it->second, shape, fmt::format("{}: tensor '{}'", file, name));
  return it->second;
}

std::vector<float> PackReader::floats(const std::string& name, const std::vector<std::int64_t>& shape) const {
  std::vector<float> out = io::to_floats(need(name, shape));
  if (!all_finite(out)) reject(fmt::format("tensor '{}' contains non-finite numbers", name));
  return out;
}

std::vector<std::int64_t> PackReader::integers(const std::string& name, const std::vector<std::int64_t>& shape) const {
  return io::to_integers(need(name, shape), fmt::format("{}: tensor '{}'", file, name));
}

std::vector<float> PackReader::sparse(const std::string& name, std::int64_t rows, std::int64_t columns, bool normalise) const {
  const auto start = integers(name + ".start", {rows + 1}), column = integers(name + ".column", {-1});
  const auto value = floats(name + ".value", {static_cast<std::int64_t>(column.size())});
  std::vector<float> out(static_cast<std::size_t>(rows * columns), 0.0F);
  if (start.front() != 0 || start.back() != static_cast<std::int64_t>(column.size()))
    reject(fmt::format("tensor '{}.start': rows lie at {}..{}; expected 0..{}", name, start.front(), start.back(), column.size()));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t begin = start[static_cast<std::size_t>(r)], end = start[static_cast<std::size_t>(r) + 1];
    if (begin < 0 || end < begin || end > static_cast<std::int64_t>(column.size())) reject(fmt::format("tensor '{}.start': bad row {}", name, r));
    float* row = out.data() + r * columns;
    double sum = 0;
    for (auto k = static_cast<std::size_t>(begin); k < static_cast<std::size_t>(end); ++k) {
      const std::int64_t c = column[k];
      if (c < 0 || c >= columns) reject(fmt::format("tensor '{}.column': index {}; expected 0..{}", name, c, columns - 1));
      row[c] = value[k];
      sum += static_cast<double>(value[k]);
    }
    if (normalise && sum > 0)
      for (std::int64_t c = 0; c < columns; ++c) row[c] = static_cast<float>(static_cast<double>(row[c]) / sum);
  }
  return out;
}

std::vector<float> PackReader::weights(const std::string& name, std::int64_t rows) const {
  return arrays.contains(name) ? floats(name, {rows, kJoints}) : sparse(name, rows, kJoints, true);
}

std::vector<float> PackReader::basis(const std::string& name, std::int64_t rows) const {
  const std::int64_t columns = need(name, {rows, 3, -1}).shape[2];
  if (columns != kBetas && columns != kShapeColumns) reject(fmt::format("tensor '{}': expected 10 or 20 columns, found {}", name, columns));
  const std::vector<float> values = floats(name, {rows, 3, columns});
  std::vector<float> out(values.size() / static_cast<std::size_t>(columns) * kShapeColumns, 0.0F);
  for (std::size_t i = 0; i < values.size(); ++i)
    out[i / static_cast<std::size_t>(columns) * kShapeColumns + i % static_cast<std::size_t>(columns)] = values[i];
  return out;
}

}  // namespace layeravatar::avatar
