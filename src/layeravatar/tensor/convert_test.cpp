#include "layeravatar/tensor/convert.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace layeravatar::tensor {
namespace {

TEST(Convert, KeepsShapeTypeAndValues) {
  const std::vector<float> values{1.5F, -2.0F, 0.0F, 3.0F, 4.0F, 5.0F};
  const io::Array array = io::make_array<float>({2, 3}, values);
  const torch::Tensor t = to_tensor(array);
  EXPECT_EQ(t.sizes().vec(), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(t.index({0, 1}).item<float>(), -2.0F);
  const io::Array transposed = to_array(t.t());
  EXPECT_EQ(transposed.shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(transposed.at<float>()[1], 3.0F);
}

TEST(Convert, WideUnsignedTypesBecomeInt64) {
  const std::vector<std::uint32_t> values{0, 4294967295U};
  const torch::Tensor t = to_tensor(io::make_array<std::uint32_t>({2}, values));
  EXPECT_EQ(t.scalar_type(), torch::kInt64);
  EXPECT_EQ(t[1].item<std::int64_t>(), 4294967295);
}

TEST(Convert, ShapeMismatchNamesTensorAndSizes) {
  const torch::Tensor t = torch::zeros({2, 3});
  EXPECT_NO_THROW(expect_shape(t, {-1, 3}, "points"));
  try {
    expect_shape(t, {-1, 4}, "points");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "points: shape [2, 3], expected [*, 4]");
  }
  EXPECT_THROW(expect_shape(t, {6}, "points"), Error);
}

TEST(Convert, FloatsRefusesOtherLayouts) {
  const torch::Tensor t = torch::zeros({2, 3});
  EXPECT_NO_THROW(floats(t, "t"));
  EXPECT_THROW(floats(t.t(), "t"), Error);
  EXPECT_THROW(floats(t.to(torch::kFloat64), "t"), Error);
}

}  // namespace
}  // namespace layeravatar::tensor
