// Holds the body to recorded outputs of the public implementation on a small synthetic model.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {

using Arrays = std::map<std::string, std::vector<double>>;

template <class T>
T load(const std::string& bytes, std::size_t at) {
  T value{};
  LAV_CHECK(at + sizeof value <= bytes.size(), "golden file is truncated");
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
std::vector<double> widen(const std::string& bytes, std::size_t at) {
  std::vector<double> out;
  for (; at + sizeof(T) <= bytes.size(); at += sizeof(T)) out.push_back(static_cast<double>(load<T>(bytes, at)));
  return out;
}

/// Values as they lie in the file.
std::vector<double> parse_values(const std::string& npy, const std::string& header, std::size_t data) {
  if (header.find("'<f4'") != std::string::npos) return widen<float>(npy, data);
  if (header.find("'<f8'") != std::string::npos) return widen<double>(npy, data);
  if (header.find("'<i8'") != std::string::npos) return widen<std::int64_t>(npy, data);
  if (header.find("'<i4'") != std::string::npos) return widen<std::int32_t>(npy, data);
  if (header.find("'<u4'") != std::string::npos) return widen<std::uint32_t>(npy, data);
  return {};
}

/// Values in C order.
std::vector<double> parse_npy(const std::string& npy) {
  const std::size_t data = 10U + load<std::uint16_t>(npy, 8);
  const std::string header = npy.substr(10, data - 10);
  const std::vector<double> values = parse_values(npy, header, data);
  if (values.empty() || header.find("'fortran_order': False") != std::string::npos) return values;
  std::vector<std::size_t> shape;
  for (std::size_t at = header.find('(') + 1; header[at] != ')';) {
    std::size_t used = 0;
    shape.push_back(std::stoul(header.substr(at), &used));
    at = header.find_first_of("0123456789)", at + used);
  }
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::size_t rest = i;
    std::size_t block = out.size();
    std::size_t from = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) {  // stride of an axis: the sizes before it
      block /= shape[axis];
      from += rest % shape[axis] * block;
      rest /= shape[axis];
    }
    out[i] = values[from];
  }
  return out;
}

/// Trusted little-endian archives only.
Arrays read_golden(const std::string& name) {
  std::ifstream in(std::string(LAV_GOLDEN_DIR "/body/") + name, std::ios::binary);
  LAV_CHECK(in.good(), "cannot open golden file " + name);
  const std::string zip{std::istreambuf_iterator<char>(in), {}};
  const std::size_t end = zip.rfind("PK\x05\x06");
  LAV_CHECK(end != std::string::npos, "not a zip archive");
  Arrays out;
  std::size_t at = load<std::uint32_t>(zip, end + 16);
  for (int n = load<std::uint16_t>(zip, end + 10); n > 0; --n) {
    const auto packed = load<std::uint32_t>(zip, at + 20);
    const auto size = load<std::uint32_t>(zip, at + 24);
    const auto name_size = load<std::uint16_t>(zip, at + 28);
    const std::size_t local = load<std::uint32_t>(zip, at + 42);
    const std::size_t begin = local + 30 + load<std::uint16_t>(zip, local + 26) + load<std::uint16_t>(zip, local + 28);
    std::string npy(size, '\0');
    if (load<std::uint16_t>(zip, at + 10) == 0) {
      npy = zip.substr(begin, size);
    } else {
      z_stream stream{};
      LAV_CHECK(inflateInit2(&stream, -15) == Z_OK, "zlib");
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zip.data() + begin));
      stream.avail_in = packed;
      stream.next_out = reinterpret_cast<Bytef*>(npy.data());
      stream.avail_out = size;
      const int status = inflate(&stream, Z_FINISH);
      inflateEnd(&stream);
      LAV_CHECK(status == Z_STREAM_END, "corrupt golden file");
    }
    const std::string member = zip.substr(at + 46, name_size);
    out[member.substr(0, member.rfind(".npy"))] = parse_npy(npy);
    at += 46U + name_size + load<std::uint16_t>(zip, at + 30) + load<std::uint16_t>(zip, at + 32);
  }
  return out;
}

std::vector<float> narrow(const std::vector<double>& values) { return {values.begin(), values.end()}; }

BodyModel golden_body() {
  const Arrays a = read_golden("SMPLX_NEUTRAL.npz");
  BodyModel m;
  m.v_template = narrow(a.at("v_template"));
  m.j_regressor = narrow(a.at("J_regressor"));
  m.weights = narrow(a.at("weights"));
  const auto& tree = a.at("kintree_table");
  m.parents.assign(tree.begin(), tree.begin() + kJoints);
  m.faces.assign(a.at("f").begin(), a.at("f").end());
  const std::size_t rows = m.v_template.size();
  const auto& shape = a.at("shapedirs");
  const std::size_t columns = shape.size() / rows;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t l = 0; l < kShapeColumns; ++l) {
      const std::size_t from = l < kBetas ? l : l - kBetas + (columns >= 400 ? 300 : 10);
      m.shapedirs.push_back(static_cast<float>(shape[i * columns + from]));
    }
  }
  const auto& correctives = a.at("posedirs");
  m.posedirs.resize(correctives.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t f = 0; f < kPoseFeatures; ++f) {
      m.posedirs[f * rows + i] = static_cast<float>(correctives[i * kPoseFeatures + f]);
    }
  }
  m.prepare();
  return m;
}

/// Row b of `expected`, within the measured noise floor times 20.
void expect_row(const std::string& name, const std::vector<float>& found, const Arrays& arrays, std::size_t b) {
  const auto& expected = arrays.at(name);
  double largest = 0;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  ASSERT_GE(expected.size(), (b + 1) * found.size()) << name;
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[b * found.size() + i]));
  }
  EXPECT_LE(worst, 2e-5 * largest) << name << " " << b;
}

TEST(BodyGolden, ForwardPassOfFourBodies) {
  const BodyModel m = golden_body();
  EXPECT_EQ(m.vertex_count(), 300);
  EXPECT_EQ(m.face_count(), 590);
  const Arrays a = read_golden("e_lbs.npz");
  for (std::size_t b = 0; b < 4; ++b) {
    const auto fill = [&](const char* name, auto& part) {
      const auto& values = a.at(std::string("in.") + name);
      for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(values[b * part.size() + i]);
    };
    PoseParams p;
    fill("global_orient", p.global_orient);
    fill("body_pose", p.body_pose);
    fill("jaw_pose", p.jaw);
    fill("leye_pose", p.leye);
    fill("reye_pose", p.reye);
    fill("left_hand_pose", p.left_hand);
    fill("right_hand_pose", p.right_hand);
    fill("betas", p.betas);
    fill("expression", p.expression);
    fill("transl", p.transl);
    const PosedBody found = pose(m, p);
    expect_row("flat.vertices", found.vertices, a, b);
    expect_row("flat.A", found.transforms, a, b);
    expect_row("flat.shape_offset", found.shape_offset, a, b);
    expect_row("flat.pose_offset", found.pose_offset, a, b);
    expect_row("flat.pose_feature", found.pose_feature, a, b);
    expect_row("flat.pip_joints55", found.joints, a, b);
    const auto full = full_pose(p);
    expect_row("flat.full_pose", {full.begin(), full.end()}, a, b);
    expect_row("flat.betas_out", {found.shape.begin(), found.shape.end()}, a, b);
  }
}

TEST(BodyGolden, RodriguesTable) {
  const Arrays a = read_golden("e_lbs.npz");
  const auto in = narrow(a.at("rodrigues.in"));
  for (std::size_t n = 0; n < in.size() / 3; ++n) {
    const auto r = rodrigues(std::span<const float, 3>(in.data() + 3 * n, 3));
    for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(r[i], a.at("rodrigues.out")[9 * n + i], 1e-6) << n << " " << i;
  }
}

TEST(BodyGolden, WeightVolume) {
  const BodyModel m = golden_body();
  const Arrays a = read_golden("weight_volume.npz");
  const PosedBody canonical = pose(m, canonical_pose());
  expect_row("vs_template", canonical.vertices, a, 0);
  const WeightVolume volume = WeightVolume::build(canonical.vertices, m.weights);
  EXPECT_NEAR(volume.half_size(), a.at("scale")[0], 1e-6);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(volume.centre()[k], a.at("offset")[k], 1e-6);
  const auto& sub = a.at("lbs_voxel_sub");  // [55, 4, 8, 8]: every 4th, 8th, 8th node
  std::size_t at = 0;
  for (std::size_t j = 0; j < kJoints; ++j)
    for (std::size_t z = 0; z < 16; z += 4)
      for (std::size_t y = 0; y < 64; y += 8)
        for (std::size_t x = 0; x < 64; x += 8) {
          ASSERT_NEAR(volume.nodes()[((z * 64 + y) * 64 + x) * kJoints + j], sub[at++], 2e-5);
        }
  for (std::size_t j = 0; j < kJoints; ++j) {
    double sum = 0;
    for (std::size_t n = j; n < volume.nodes().size(); n += kJoints) sum += volume.nodes()[n];
    EXPECT_NEAR(sum, a.at("lbs_voxel_joint_sum")[j], 2e-5 * (1 + sum)) << j;
  }
}

}  // namespace
}  // namespace layeravatar::body
