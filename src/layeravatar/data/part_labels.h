// What a part segmentation network says of a picture, as the five labels of the avatars (spec/body_and_data.md section 11.4).
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/io/png.h"

namespace layeravatar::data {

inline constexpr int kPartClasses = 28;  // Sapiens with the classes of Goliath

/// 0 background, 1 body, 2 top, 3 hair, 4 shoes, 5 bottom; 0 for a number that is no class.
std::uint8_t label_of_class(std::int64_t part_class);

struct PartLabels {
  std::vector<std::uint8_t> labels;   // [size, size] 0..5
  std::vector<std::string> warnings;  // "<file>: k pixels have class ids above 27"
};

/// `<name>_seg.npy`, whole numbers [size, size] of classes. Throws Error(kInput): the messages of npy.h,
/// "<file>: expected (1024, 1024) integers, found ...".
PartLabels read_part_classes(const std::filesystem::path& file, int size);

/// Labels outside the person become background: where `picture`, RGBA of `file`, is transparent. Throws Error(kInput): "<file>: image has
/// no alpha channel; cannot find the silhouette", "<file>: expected 1024x1024, found WxH".
void cut_to_silhouette(std::vector<std::uint8_t>& labels, const io::Image& picture, const std::string& file);

}  // namespace layeravatar::data
