#include "layeravatar/eval/leakage.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace layeravatar::eval {
namespace {

TEST(Leakage, LeavesOutBackgroundAndTheSwappedComponent) {
  // Top swapped: kept, was top, is top, uncovered, vanished, another component each time.
  const torch::Tensor before = torch::tensor({1, 2, 5, 0, 4, 3}, torch::kUInt8).reshape({2, 3});
  const torch::Tensor after = torch::tensor({1, 1, 2, 1, 0, 1}, torch::kUInt8).reshape({2, 3});
  const torch::Tensor want = torch::tensor({1, 0, 0, 0, 0, 1}, torch::kUInt8).reshape({2, 3}).to(torch::kBool);
  EXPECT_TRUE(torch::equal(untouched_pixels(before, after, 2), want));
}

}  // namespace
}  // namespace layeravatar::eval
