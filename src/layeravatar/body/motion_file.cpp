#include "layeravatar/body/motion_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

// An array [n, columns] of which each frame takes the first `used` numbers.
struct Part {
  const char* key;
  std::int64_t columns, used;
  bool more = false;  // wider ones are taken too
};
// In the order of the vectors of 179 and 175 numbers; the ten betas behind them stay zero. The last six of X-Avatar's
// columns are SMPL's two hand joints.
constexpr Part kXAvatarParts[] = {
    {"body_pose", 72, 66}, {"left_hand_pose", 45, 45}, {"right_hand_pose", 45, 45}, {"jaw_pose", 3, 3}, {"expression", 10, 10}};
constexpr Part kAmassParts[] = {
    {"poses", 3, 3, true}, {"pose_body", 63, 63}, {"pose_hand", 90, 90}, {"pose_jaw", 3, 3}, {"pose_eye", 6, 6}};

[[noreturn]] void reject(const ArraySource& file, const std::string& what) { throw Error(ErrorKind::kInput, file.file() + ": " + what); }

// [n, columns]; `columns` returns how many there are.
std::vector<float> read_part(const ArraySource& file, const Part& part, std::int64_t& frames, std::int64_t& columns) {
  const io::Array array = file.read(part.key);
  if (array.shape.size() != 2)
    reject(file, fmt::format("'{}' has the shape {}; expected (n, {})", part.key, io::shape_text(array.shape), part.columns));
  frames = array.shape[0];
  columns = array.shape[1];
  if (part.more ? columns < part.columns : columns != part.columns)
    reject(file, fmt::format("'{}' has {} columns; expected {}{}", part.key, columns, part.more ? "at least " : "", part.columns));
  std::vector<float> values = io::to_floats(array);
  for (const float v : values)
    if (!std::isfinite(v)) reject(file, fmt::format("'{}' contains non-finite numbers", part.key));
  return values;
}

double recorded_rate(const ArraySource& file) {
  if (!file.contains("mocap_frame_rate")) return 0;
  const auto values = io::to_floats(file.read("mocap_frame_rate"));
  return values.size() == 1 && values[0] > 0 && std::isfinite(values[0]) ? values[0] : 0;
}

}  // namespace

const std::array<double, 9>& world_from_motion(MotionKind kind) {
  static constexpr std::array<double, 9> kYDown = {1, 0, 0, 0, -1, 0, 0, 0, -1}, kZUp = {1, 0, 0, 0, 0, 1, 0, -1, 0};
  return kind == MotionKind::kAmass ? kZUp : kYDown;
}

int usual_view(MotionKind kind) { return kind == MotionKind::kAmass ? 10 : 1; }

std::int64_t usual_stride(MotionKind kind) { return kind == MotionKind::kAmass ? 8 : 1; }

Motion motion_from(const ArraySource& file, MotionKind kind, const MotionOptions& options) {
  const bool amass = kind == MotionKind::kAmass;
  const std::span<const Part> parts = amass ? std::span<const Part>(kAmassParts) : kXAvatarParts;
  for (const Part& part : parts)
    if (!file.contains(part.key))
      reject(file, fmt::format("'{}' is missing{}", part.key, amass ? "; is this an SMPL+H file? SMPL-X (stageii) is needed" : ""));
  const auto require_frames = [&](const char* key, std::int64_t found, std::int64_t expected) {
    if (found != expected) reject(file, fmt::format("'{}' has {} frames, '{}' has {}", key, found, parts[0].key, expected));
  };

  Motion out;
  out.kind = kind;
  std::vector<std::vector<float>> values;
  std::vector<std::int64_t> columns;
  for (const Part& part : parts) {
    std::int64_t frames = 0, width = 0;
    values.push_back(read_part(file, part, frames, width));
    columns.push_back(width);
    if (values.size() == 1) out.frames_in_file = frames;
    require_frames(part.key, frames, out.frames_in_file);
  }
  const std::int64_t count = out.frames_in_file;
  if (count == 0) reject(file, fmt::format("'{}' has no frames", parts[0].key));

  const std::int64_t stride = options.stride != 0 ? options.stride : usual_stride(kind);
  const bool inside = options.start >= 0 && options.start < count && stride > 0 && options.frames >= 0;
  const std::int64_t available = inside ? (count - 1 - options.start) / stride + 1 : 0;
  if (!inside || options.frames > available)
    throw Error(ErrorKind::kConfig, fmt::format("{}: {} frames from {} by {}, but there are {} from 0", file.file(), options.frames, options.start, stride, count));
  const std::int64_t taken = options.frames != 0 ? options.frames : available;

  std::vector<float> path;
  if (options.with_translation) {
    const Part part{file.contains("transl") ? "transl" : "trans", 3, 3};
    if (!file.contains(part.key)) reject(file, "'trans' is missing; the motion cannot be shown with its translation");
    std::int64_t frames = 0, width = 0;
    path = read_part(file, part, frames, width);
    require_frames(part.key, frames, count);
  }

  out.rate = amass ? recorded_rate(file) / static_cast<double>(stride) : 0;
  std::vector<float> vector(static_cast<std::size_t>(amass ? PoseLayout::k175 : PoseLayout::k179));
  for (std::int64_t i = 0; i < taken; ++i) {
    const std::int64_t f = options.start + i * stride;
    auto at = vector.begin();
    for (std::size_t p = 0; p < parts.size(); ++p) at = std::copy_n(values[p].begin() + f * columns[p], parts[p].used, at);
    PoseParams pose = pose_from_vector(vector);
    for (std::size_t k = 0; k < 3 && !path.empty(); ++k)
      pose.transl[k] += path[static_cast<std::size_t>(3 * f) + k] - path[static_cast<std::size_t>(3 * options.start) + k];
    for (std::size_t k = 0; k < 45 && options.hands != nullptr; ++k) {
      pose.left_hand[k] += options.hands->left_mean[k];
      pose.right_hand[k] += options.hands->right_mean[k];
    }
    out.frames.push_back(pose);
  }
  return out;
}

Motion read_motion(const std::filesystem::path& path, const MotionOptions& options) {
  const bool named = path.filename().string().find("stageii") != std::string::npos, npz = is_npz(path);
  Motion out = motion_from(*open_arrays(path), named || npz ? MotionKind::kAmass : MotionKind::kXAvatar, options);
  if (npz && !named) out.warnings.emplace_back("file name does not contain 'stageii'; treated as AMASS because it is an npz");
  return out;
}

}  // namespace layeravatar::body
