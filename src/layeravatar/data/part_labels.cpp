#include "layeravatar/data/part_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::data {

std::uint8_t label_of_class(std::int64_t part_class) {
  // Apparel counts as hair and socks as shoes (traps of section 16).
  constexpr std::uint8_t kLabels[kPartClasses] = {0, 3, 1, 3, 1, 1, 1, 1, 4, 4, 1, 1, 5, 1, 1, 1, 1, 4, 4, 1, 1, 1, 2, 1, 1, 1, 1, 1};
  return part_class >= 0 && part_class < kPartClasses ? kLabels[part_class] : std::uint8_t{0};
}

PartLabels read_part_classes(const std::filesystem::path& file, int size) {
  const io::Array classes = io::read_npy(file);
  const std::string name = file.string(), found = io::shape_text(classes.shape);
  const bool whole = classes.dtype != io::DType::kF16 && classes.dtype != io::DType::kBF16 && classes.dtype != io::DType::kF32 &&
                     classes.dtype != io::DType::kF64;
  if (!whole || classes.shape != std::vector<std::int64_t>{size, size})
    throw Error(ErrorKind::kInput, fmt::format("{}: expected ({}, {}) integers, found {}{}", name, size, size, found, whole ? "" : " real numbers"));
  const auto ids = io::to_integers(classes, name);
  PartLabels out;
  out.labels.resize(ids.size());
  std::transform(ids.begin(), ids.end(), out.labels.begin(), [](auto id) { return label_of_class(id); });
  const auto beyond = std::count_if(ids.begin(), ids.end(), [](auto id) { return id >= kPartClasses; });
  if (beyond > 0) out.warnings.push_back(fmt::format("{}: {} pixels have class ids above {}", name, beyond, kPartClasses - 1));
  return out;
}

void cut_to_silhouette(std::vector<std::uint8_t>& labels, const io::Image& picture, const std::string& file) {
  if (picture.channels != 4) throw Error(ErrorKind::kInput, file + ": image has no alpha channel; cannot find the silhouette");
  const auto size = static_cast<int>(std::lround(std::sqrt(static_cast<double>(labels.size()))));
  if (picture.width != size || picture.height != size)
    throw Error(ErrorKind::kInput, fmt::format("{}: expected {}x{}, found {}x{}", file, size, size, picture.width, picture.height));
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (picture.pixels[4 * i + 3] == 0) labels[i] = 0;
}

}  // namespace layeravatar::data
