#include "layeravatar/templates/layered_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::templates {
namespace {

const io::ArrayMap& recorded() {
  static const io::ArrayMap arrays = io::read_npz(std::string(LAV_GOLDEN_DIR) + "/avatar/d_template_small.npz");
  return arrays;
}

TEST(LayeredTemplateFile, ReadsTheRecordedTemplate) {
  const LayeredTemplate t = from_arrays(recorded(), "small");
  EXPECT_EQ(t.blocks, (std::array<std::int64_t, 4>{1409, 800, 480, 960}));
  EXPECT_EQ(t.count(), 3649);
  EXPECT_EQ(t.body_count(), 1409);
  EXPECT_EQ(std::count(t.labels.begin(), t.labels.end(), 0), 160);
  EXPECT_EQ(t.face_mask.size(), 1409U);
  EXPECT_TRUE(std::equal(t.labels.begin() + 1409 + 800, t.labels.begin() + 1409 + 800 + 480,
                         std::vector<std::int32_t>(480, 5).begin()));
}

TEST(LayeredTemplateFile, ShiftsTheOuterLayersAsRecorded) {
  const LayeredTemplate t = from_arrays(recorded(), "small");
  const std::vector<float> shifted = t.shifted_positions();
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    const float by = t.labels[i] == 1 ? 0.0F : 0.01F;
    for (std::size_t k = 0; k < 3; ++k)
      ASSERT_NEAR(shifted[3 * i + k], t.positions[3 * i + k] + by * t.frames[9 * i + 3 * k + 2], 1e-7) << i;
  }
}

TEST(LayeredTemplateFile, WritesWhatItReads) {
  const LayeredTemplate t = from_arrays(recorded(), "small");
  const io::ArrayMap arrays = to_arrays(t);
  for (const char* name : {"init_pcd_smplx_full", "init_rot_smplx_full", "init_uv_smplx_full", "init_spdir_smplx_full",
                           "init_podir_smplx_full", "init_lbsw_smplx_body"})
    EXPECT_EQ(arrays.at(name).data, recorded().at(name).data) << name;
  const LayeredTemplate back = from_arrays(arrays, "memory");
  EXPECT_EQ(back.blocks, t.blocks);
  EXPECT_EQ(back.faces, t.faces);
  EXPECT_EQ(back.labels, t.labels);
  EXPECT_EQ(back.hands_mask, t.hands_mask);
  EXPECT_EQ(back.nose_mask, t.nose_mask);
  EXPECT_EQ(back.outside_mask, t.outside_mask);
  EXPECT_EQ(back.face_mask, t.face_mask);
}

TEST(LayeredTemplateFile, MasksCombineByTheirDefinition) {
  LayeredTemplate t;
  // every combination of the four masks
  for (unsigned i = 0; i < 16; ++i) {
    t.face_mask.push_back(i & 1U);
    t.hands_mask.push_back((i >> 1) & 1U);
    t.outside_mask.push_back((i >> 2) & 1U);
    t.nose_mask.push_back((i >> 3) & 1U);
  }
  EXPECT_EQ(t.weights_mask(), (std::vector<std::uint8_t>{0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(t.offset_mask(), (std::vector<std::uint8_t>{0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(LayeredTemplateFile, RefusesWhatDoesNotFit) {
  const auto message_of = [](const std::function<void(io::ArrayMap&)>& spoil) {
    io::ArrayMap arrays = to_arrays(from_arrays(recorded(), "small"));
    spoil(arrays);
    try {
      from_arrays(arrays, "t.npz");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto expect = [&](const std::string& part, const std::function<void(io::ArrayMap&)>& spoil) {
    const std::string message = message_of(spoil);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.rfind("t.npz", 0), 0U) << message;
  };
  expect("'part_label_full' is missing", [](auto& a) { a.erase("part_label_full"); });
  expect("'part_label_full': index 6", [](auto& a) { a["part_label_full"].template at<std::int32_t>()[3] = 6; });
  expect("'init_faces_smplx_full': index -1",
         [](auto& a) { a["init_faces_smplx_full"].template at<std::int32_t>()[9] = -1; });
  expect("'init_faces_smplx_full': index 99999",
         [](auto& a) { a["init_faces_smplx_full"].template at<std::int32_t>()[9] = 99999; });
  expect("non-finite",
         [](auto& a) { a["init_pcd_smplx_full"].template at<float>()[5] = std::numeric_limits<float>::quiet_NaN(); });
  expect("'blocks': counts sum to 3650", [](auto& a) { ++a["blocks"].template at<std::int64_t>()[1]; });
  expect("'blocks': count -1", [](auto& a) { a["blocks"].template at<std::int64_t>()[2] = -1; });
  expect("label 1 and the body block differ", [](auto& a) {
    --a["blocks"].template at<std::int64_t>()[0];
    ++a["blocks"].template at<std::int64_t>()[1];
  });
  expect("out of order", [](auto& a) {
    a.erase("blocks");
    a["part_label_full"].template at<std::int32_t>()[3000] = 1;
  });
  expect("'nose_mask_body'", [](auto& a) { a["nose_mask_body"] = io::make_array(io::DType::kBool, {7}); });
  expect("'init_lbsw_smplx_body'", [](auto& a) {
    a["init_lbsw_smplx_body"] = io::make_array(io::DType::kF32, {1409, 54});
  });
}

}  // namespace
}  // namespace layeravatar::templates
