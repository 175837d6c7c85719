#include "layeravatar/io/bvh.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <numbers>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

constexpr std::size_t kMaxJoints = 4096;
constexpr std::size_t kMaxChannels = 6;  // of one joint
constexpr double kMaxNumber = 1e9;
constexpr std::array<std::string_view, 6> kChannelNames = {"Xposition", "Yposition", "Zposition",
                                                           "Xrotation", "Yrotation", "Zrotation"};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : text_(text) { out_.file = file; }

  Bvh parse() {
    expect("HIERARCHY");
    expect("ROOT");
    read_hierarchy();
    expect("MOTION");
    read_motion();
    return std::move(out_);
  }

 private:
  [[noreturn]] void reject(const std::string& what) const {
    throw Error(ErrorKind::kInput, fmt::format("{}: line {}: {}", out_.file, line_, what));
  }

  // A piece of the file in a message.
  static std::string quote(std::string_view word) {
    std::string out = "'";
    for (const char c : word.substr(0, 40)) out += c >= ' ' && c < 127 ? c : '?';
    return word.empty() ? "the end of the file" : out + "'";
  }

  void skip_blanks() {
    while (pos_ < text_.size() && is_blank(text_[pos_])) ++pos_;
  }

  // The next word; empty at the end of the line.
  std::string_view word_in_line() {
    skip_blanks();
    const std::size_t begin = pos_;
    while (pos_ < text_.size() && !is_blank(text_[pos_]) && text_[pos_] != '\n') ++pos_;
    return text_.substr(begin, pos_ - begin);
  }

  // The next word on any line; empty at the end of the file.
  std::string_view word() {
    for (;;) {
      const auto found = word_in_line();
      if (!found.empty() || pos_ >= text_.size()) return found;
      ++pos_, ++line_;
    }
  }

  void expect(std::string_view wanted) {
    const auto found = word();
    if (found != wanted) reject(fmt::format("expected '{}', found {}", wanted, quote(found)));
  }

  double to_number(std::string_view found, const char* meaning) const {
    std::string_view digits = found;
    if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
    double value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc() || end != digits.data() + digits.size())
      reject(fmt::format("{}: expected a number, found {}", meaning, quote(found)));
    if (!(std::abs(value) <= kMaxNumber)) reject(fmt::format("{}: {} is out of range", meaning, quote(found)));
    return value;
  }

  std::int64_t to_count(std::string_view found, const char* meaning, std::int64_t limit) const {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(found.data(), found.data() + found.size(), value);
    if (code != std::errc() || end != found.data() + found.size() || value < 0 || value > limit)
      reject(fmt::format("{}: expected a number of 0..{}, found {}", meaning, limit, quote(found)));
    return value;
  }

  std::array<double, 3> read_offset() {
    expect("OFFSET");
    std::array<double, 3> out{};
    for (double& x : out) x = to_number(word(), "OFFSET");
    return out;
  }

  void read_channels(BvhJoint& joint) {
    const auto found = word();
    if (found != "CHANNELS")
      reject(fmt::format("joint {}: CHANNELS are missing; found {}", quote(joint.name), quote(found)));
    const auto count = to_count(word(), "CHANNELS", kMaxChannels);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto name = word();
      std::size_t kind = 0;
      while (kind < kChannelNames.size() && kChannelNames[kind] != name) ++kind;
      if (kind == kChannelNames.size())
        reject(fmt::format("joint {}: unknown channel {}", quote(joint.name), quote(name)));
      for (const auto earlier : joint.channels)
        if (earlier == static_cast<BvhChannel>(kind))
          reject(fmt::format("joint {}: channel {} twice", quote(joint.name), quote(name)));
      joint.channels.push_back(static_cast<BvhChannel>(kind));
    }
    joint.first_channel = out_.channel_count;
    out_.channel_count += count;
  }

  // Name, body and children of the root; a loop, so that depth costs no stack.
  void read_hierarchy() {
    std::vector<std::int64_t> open;
    std::set<std::string, std::less<>> names;
    const auto open_joint = [&] {
      if (out_.joints.size() == kMaxJoints) reject(fmt::format("more than {} joints", kMaxJoints));
      BvhJoint joint;
      joint.name = word();
      if (joint.name.empty() || joint.name == "{") reject("a joint without a name");
      if (!names.insert(joint.name).second) reject(fmt::format("joint {} twice", quote(joint.name)));
      expect("{");
      joint.parent = open.empty() ? -1 : open.back();
      joint.offset = read_offset();
      read_channels(joint);
      open.push_back(static_cast<std::int64_t>(out_.joints.size()));
      out_.joints.push_back(std::move(joint));
    };
    open_joint();
    while (!open.empty()) {
      const auto found = word();
      BvhJoint& joint = out_.joints[static_cast<std::size_t>(open.back())];
      if (found == "JOINT") {
        open_joint();
      } else if (found == "End") {
        expect("Site");
        expect("{");
        if (joint.end_site) reject(fmt::format("joint {}: two End Sites", quote(joint.name)));
        joint.end_site = read_offset();
        expect("}");
      } else if (found == "}") {
        open.pop_back();
      } else {
        reject(fmt::format("expected 'JOINT', 'End Site' or '}}', found {}", quote(found)));
      }
    }
    if (out_.channel_count == 0) reject("no joint has channels");
  }

  void read_motion() {
    expect("Frames:");
    // A number and its separator take two bytes: more frames than that cannot be in the file.
    const auto room = static_cast<std::int64_t>(text_.size() / 2 / static_cast<std::size_t>(out_.channel_count)) + 1;
    const auto stated = word();
    std::int64_t frames = 0;
    const auto [end, code] = std::from_chars(stated.data(), stated.data() + stated.size(), frames);
    if (code != std::errc() || end != stated.data() + stated.size() || frames < 1)
      reject(fmt::format("Frames: expected a positive number, found {}", quote(stated)));
    expect("Frame");
    expect("Time:");
    out_.frame_time = to_number(word(), "Frame Time");
    if (!(out_.frame_time > 0)) reject("Frame Time: expected a positive number");
    if (!word_in_line().empty()) reject("expected the end of the line after the frame time");
    out_.values.reserve(static_cast<std::size_t>(std::min(frames, room) * out_.channel_count));
    for (std::int64_t f = 0; f < frames; ++f) {
      auto found = word();
      if (found.empty()) reject(fmt::format("truncated; expected {} frames, found {}", frames, f));
      for (std::int64_t c = 0; c < out_.channel_count; ++c, found = word_in_line()) {
        if (found.empty()) reject(fmt::format("frame {}: expected {} numbers, found {}", f, out_.channel_count, c));
        out_.values.push_back(static_cast<float>(to_number(found, "motion")));
      }
      if (!found.empty())
        reject(fmt::format("frame {}: expected {} numbers, found more: {}", f, out_.channel_count, quote(found)));
    }
    const auto rest = word();
    if (!rest.empty())
      reject(fmt::format("expected the end of the file after {} frames, found {}", frames, quote(rest)));
  }

  std::string_view text_;
  std::size_t pos_ = 0;
  std::int64_t line_ = 1;
  Bvh out_;
};

float value_at(const Bvh& motion, std::int64_t frame, const BvhJoint& joint, std::size_t channel) {
  LAV_CHECK(frame >= 0 && frame < motion.frame_count(), "a frame of this motion");
  return motion.values[static_cast<std::size_t>(frame * motion.channel_count + joint.first_channel) + channel];
}

}  // namespace

std::int64_t Bvh::find(std::string_view name) const {
  for (std::size_t j = 0; j < joints.size(); ++j)
    if (joints[j].name == name) return static_cast<std::int64_t>(j);
  return -1;
}

Bvh parse_bvh(std::string_view text, const std::string& file) { return Parser(text, file).parse(); }

Bvh read_bvh(const std::filesystem::path& path) { return parse_bvh(read_file(path), path.string()); }

std::array<double, 9> bvh_local_rotation(const Bvh& motion, std::int64_t frame, std::int64_t joint) {
  const BvhJoint& node = motion.joints.at(static_cast<std::size_t>(joint));
  std::array<double, 9> out{1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (std::size_t c = 0; c < node.channels.size(); ++c) {
    if (node.channels[c] < BvhChannel::kXRotation) continue;
    const double angle = static_cast<double>(value_at(motion, frame, node, c)) * std::numbers::pi / 180;
    // A turn about `axis` mixes the two columns after it, in cyclic order.
    const auto axis = static_cast<std::size_t>(node.channels[c]) - static_cast<std::size_t>(BvhChannel::kXRotation);
    const std::size_t a = (axis + 1) % 3, b = (axis + 2) % 3;
    for (std::size_t row = 0; row < 9; row += 3) {
      const double p = out[row + a], q = out[row + b];
      out[row + a] = p * std::cos(angle) + q * std::sin(angle);
      out[row + b] = q * std::cos(angle) - p * std::sin(angle);
    }
  }
  return out;
}

std::array<double, 3> bvh_local_position(const Bvh& motion, std::int64_t frame, std::int64_t joint) {
  const BvhJoint& node = motion.joints.at(static_cast<std::size_t>(joint));
  std::array<double, 3> out = node.offset;
  for (std::size_t c = 0; c < node.channels.size(); ++c)
    if (node.channels[c] < BvhChannel::kXRotation)
      out[static_cast<std::size_t>(node.channels[c])] = static_cast<double>(value_at(motion, frame, node, c));
  return out;
}

}  // namespace layeravatar::io
