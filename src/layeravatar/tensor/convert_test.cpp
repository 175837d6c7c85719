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

TEST(Convert, SharedMemoryStaysWhereItIs) {
  const auto memory = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  const io::Array array{io::DType::kF32, {2, 2}, io::Bytes(memory, std::as_bytes(std::span(*memory)))};
  torch::Tensor shared = share_tensor(array);
  EXPECT_EQ(shared.data_ptr<float>(), memory->data());
  EXPECT_EQ(memory.use_count(), 3);
  EXPECT_EQ(shared[1][0].item<float>(), 3);
  const io::Array copy = io::make_array<float>({1}, std::vector<float>{9});
  EXPECT_NE(share_tensor(copy).data_ptr(), static_cast<const void*>(copy.data.data()));
  shared = torch::Tensor();
  EXPECT_EQ(memory.use_count(), 2);
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
