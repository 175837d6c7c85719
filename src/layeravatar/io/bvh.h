// Motion in .bvh files: a skeleton and the channel values of every frame (spec/cc0_people.md section 3).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::io {

enum class BvhChannel : std::uint8_t { kXPosition, kYPosition, kZPosition, kXRotation, kYRotation, kZRotation };

struct BvhJoint {
  std::string name;
  std::int64_t parent = -1;                       // an earlier joint; -1 at the root
  std::array<double, 3> offset{};                 // from the parent, in the file's unit
  std::vector<BvhChannel> channels;               // in the order of the file
  std::int64_t first_channel = 0;                 // column of channels[0] in a frame
  std::optional<std::array<double, 3>> end_site;  // offset of the tip of a leaf
};

struct Bvh {
  std::string file;                // names the source in messages
  std::vector<BvhJoint> joints;    // parents first; one root
  std::int64_t channel_count = 0;  // columns of a frame
  double frame_time = 0;           // seconds
  std::vector<float> values;       // [frames, channels] as stored; angles in degrees

  [[nodiscard]] std::int64_t frame_count() const {
    return channel_count == 0 ? 0 : static_cast<std::int64_t>(values.size()) / channel_count;
  }
  /// Index of a joint, or -1.
  [[nodiscard]] std::int64_t find(std::string_view name) const;
};

/// Strict and bounded: a joint states OFFSET and CHANNELS before its children, every frame is one line with all its
/// numbers. Throws Error(kInput) "<file>: line n: <what was expected and found>"; a short MOTION part says how many
/// frames there are.
Bvh parse_bvh(std::string_view text, const std::string& file);
Bvh read_bvh(const std::filesystem::path& path);

/// Rotation of a joint relative to its parent, row-major: the product of its rotation channels in the file's order.
std::array<double, 9> bvh_local_rotation(const Bvh& motion, std::int64_t frame, std::int64_t joint);

/// Position channels of a joint where it has them (they replace the offset), else its offset.
std::array<double, 3> bvh_local_position(const Bvh& motion, std::int64_t frame, std::int64_t joint);

}  // namespace layeravatar::io
