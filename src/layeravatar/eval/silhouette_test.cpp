#include "layeravatar/eval/silhouette.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>

namespace layeravatar::eval {
namespace {

// '#' is 1.
torch::Tensor mask_of(const std::vector<std::string>& rows) {
  const auto h = static_cast<std::int64_t>(rows.size()), w = static_cast<std::int64_t>(rows.at(0).size());
  torch::Tensor out = torch::zeros({h, w});
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      if (rows[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)] == '#') out[y][x] = 1;
  return out;
}

TEST(PieceSizes, CornersConnectAndBordersDoNot) {
  const torch::Tensor mask = mask_of({"##...#",
                                      "..#...",
                                      ".....#",
                                      "#....#"});
  EXPECT_EQ(piece_sizes(mask), (std::vector<std::int64_t>{3, 1, 2, 1})) << "a row's end is no neighbour of the next";
  EXPECT_EQ(piece_sizes(mask.transpose(0, 1)), (std::vector<std::int64_t>{3, 1, 1, 2})) << "not contiguous";
}

TEST(PieceSizes, RingSpiralFullAndEmpty) {
  EXPECT_EQ(piece_sizes(mask_of({"#####", "#...#", "#.#.#", "#...#", "#####"})), (std::vector<std::int64_t>{16, 1}));
  EXPECT_EQ(piece_sizes(mask_of({"#####", "....#", "###.#", "#...#", "#####"})), (std::vector<std::int64_t>{17}));
  EXPECT_EQ(piece_sizes(torch::ones({7, 3}, torch::kUInt8)), (std::vector<std::int64_t>{21}));
  EXPECT_TRUE(piece_sizes(torch::zeros({3, 7}, torch::kBool)).empty());
  EXPECT_TRUE(piece_sizes(torch::zeros({0, 7})).empty());
}

TEST(LargestSquare, ByHand) {
  const torch::Tensor mask = mask_of({".####..",
                                      ".#####.",
                                      "######.",
                                      "##.####",
                                      "#######"});
  EXPECT_EQ(largest_square(mask), 3);
  EXPECT_EQ(largest_square(mask.transpose(0, 1)), 3);
  EXPECT_EQ(largest_square(mask_of({"#######", "#.#.#.#", "#######"})), 1);
  EXPECT_EQ(largest_square(mask_of({"##.", "##.", "..#"})), 2) << "at the border";
  EXPECT_EQ(largest_square(torch::ones({4, 9}, torch::kUInt8)), 4);
  EXPECT_EQ(largest_square(torch::zeros({4, 9}, torch::kBool)), 0);
  EXPECT_EQ(largest_square(torch::zeros({4, 0})), 0);
}

TEST(Silhouette, HolesLieInFrontOfTheInnerBodyAndSpecksDoNotCount) {
  // A hole of 2 x 2, an arch between legs, a speck of three pixels.
  const torch::Tensor alpha = mask_of({"#######..",
                                       "##..###.#",
                                       "##..###.#",
                                       "#######.#",
                                       "##...##..",
                                       "##...##..",
                                       "##...##.."});
  torch::Tensor body = torch::zeros({7, 9});
  body.slice(0, 0, 4).slice(1, 0, 7) = 1;
  const Silhouette s = silhouette_of(alpha, body);
  EXPECT_EQ(s.pieces, 1);
  EXPECT_EQ(s.hole, 2);
  EXPECT_EQ(silhouette_of(alpha, torch::zeros({7, 9})).hole, 0);
  EXPECT_EQ(silhouette_of(0.5 * alpha, 0.89 * body).pieces, 1);
  EXPECT_EQ(silhouette_of(0.5 * alpha, 0.89 * body).hole, 0);
  torch::Tensor two = alpha.clone();
  two[4][8] = 1;  // the speck grows to four
  EXPECT_EQ(silhouette_of(two, body).pieces, 2);
  EXPECT_EQ(silhouette_of(0.49 * alpha, body).pieces, 0);
  EXPECT_EQ(silhouette_of(0.49 * alpha, body).hole, 4);
}

}  // namespace
}  // namespace layeravatar::eval
