#include "layeravatar/deform/kernels/neighbours.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "hwy/targets.h"

namespace layeravatar::deform {
namespace {

std::vector<float> measured(const std::vector<float>& points) {
  std::vector<float> out(points.size() / 3, -1.0F);
  mean_squared_neighbour_distance(points.data(), static_cast<std::int64_t>(out.size()), out.data());
  return out;
}

std::vector<double> brute_force(const std::vector<float>& points) {
  const std::size_t n = points.size() / 3;
  std::vector<double> out(n), squares(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      squares[j] = i == j ? std::numeric_limits<double>::infinity() : 0.0;
      for (std::size_t k = 0; k < 3; ++k) squares[j] += std::pow(double{points[3 * i + k]} - points[3 * j + k], 2);
    }
    std::partial_sort(squares.begin(), squares.begin() + 3, squares.end());
    out[i] = (squares[0] + squares[1] + squares[2]) / 3;
  }
  return out;
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float operator()() { return static_cast<float>(engine_() >> 8) * 0x1p-23F - 1.0F; }  // in [-1, 1)

 private:
  std::mt19937 engine_;
};

std::vector<float> cloud(std::size_t n, std::array<float, 3> half, unsigned seed) {
  Random random(seed);
  std::vector<float> out(3 * n);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = half[i % 3] * random();
  return out;
}

void expect_exact(const std::vector<float>& points, const std::string& what) {
  const auto got = measured(points);
  const auto want = brute_force(points);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-6 * want[i]) << what << " " << i;
}

TEST(Neighbours, MatchBruteForceInEveryShapeOfCloud) {
  expect_exact(cloud(3000, {1, 1, 1}, 1), "cube");
  expect_exact(cloud(3000, {0.9F, 0.9F, 0.01F}, 2), "sheet");
  expect_exact(cloud(2000, {1, 0, 0}, 3), "line along x");
  expect_exact(cloud(2000, {0, 0, 1e-4F}, 4), "short line along z");
  for (std::size_t n = 4; n < 40; ++n) expect_exact(cloud(n, {1, 2, 3}, static_cast<unsigned>(n)), "few points");
}

TEST(Neighbours, MatchBruteForceWithDuplicates) {
  std::vector<float> points = cloud(500, {1, 1, 0.1F}, 5);
  const std::vector<float> once = points;
  points.insert(points.end(), once.begin(), once.begin() + 900);  // the first 300 twice
  for (int k = 0; k < 3; ++k) points.insert(points.end(), once.begin(), once.begin() + 30);  // ten of them five times
  expect_exact(points, "duplicates");
  const auto got = measured(points);
  EXPECT_EQ(got[0], 0.0F) << "four coincident others";
  EXPECT_GT(got[200], 0.0F) << "one coincident other";
}

TEST(Neighbours, MatchBruteForceWithUnevenDensityAndStrays) {
  std::vector<float> points = cloud(2000, {1, 1, 1}, 6);
  for (std::size_t i = 0; i < 3000; ++i) points[i] *= 1e-3F;  // the first 1000 in a thousandth of the side
  Random random(7);
  for (std::size_t i = 5900; i < 6000; ++i) points[i] = 50 * random();
  expect_exact(points, "strays");
  points[100] = 1e6F;
  points[200] = -1e6F;
  expect_exact(points, "far strays");
}

TEST(Neighbours, AnyNumberOfThreadsGivesTheSameBits) {
  const std::vector<float> points = cloud(5000, {1, 1, 0.02F}, 8);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = measured(points);
  omp_set_num_threads(3);
  const auto three = measured(points);
  omp_set_num_threads(before);
  EXPECT_EQ(one, three);
}

// The search's own sums, without and with fused products.
std::array<std::vector<float>, 2> brute_force_in_float(const std::vector<float>& points) {
  const std::size_t n = points.size() / 3;
  std::array<std::vector<float>, 2> out;
  for (const bool fused : {false, true}) {
    std::vector<float> squares(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        const float dx = points[3 * i] - points[3 * j], dy = points[3 * i + 1] - points[3 * j + 1], dz = points[3 * i + 2] - points[3 * j + 2];
        volatile float xx = dx * dx, yy = dy * dy, zz = dz * dz, xy = yy + xx;  // not to be fused
        squares[j] = fused ? std::fma(dz, dz, std::fma(dy, dy, xx)) : zz + xy;
      }
      std::partial_sort(squares.begin(), squares.begin() + 4, squares.end());
      out[fused].push_back((squares[1] + squares[2] + squares[3]) / 3.0F);
    }
  }
  return out;
}

TEST(Neighbours, SeedsChangeNoBitAndEveryBitIsBruteForces) {
  std::vector<float> points = cloud(3000, {0.9F, 0.9F, 0.01F}, 10);
  for (std::size_t i = 0; i < 30; ++i) points[i] = points[i + 30];  // some coincide
  Random random(11);
  int sets = 0;
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1, ++sets) {
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().DeInit();
    NeighbourSeeds seeds;
    for (int frame = 0; frame < 4; ++frame) {  // small steps, then a leap: seeds that are far off
      for (float& x : points) x += (frame == 3 ? 0.5F : 0.003F) * random();
      const auto plain = measured(points);
      const auto brute = brute_force_in_float(points);
      EXPECT_TRUE(plain == brute[0] || plain == brute[1]) << hwy::TargetName(left & -left) << ' ' << frame;
      std::vector<float> seeded(plain.size());
      mean_squared_neighbour_distance(points.data(), static_cast<std::int64_t>(plain.size()), seeded.data(), &seeds);
      EXPECT_EQ(plain, seeded) << hwy::TargetName(left & -left) << ' ' << frame;
    }
    hwy::SetSupportedTargetsForTest(0);
  }
  hwy::GetChosenTarget().DeInit();
  EXPECT_GE(sets, 1);
}

TEST(Neighbours, SeedsOfFewerPointsOrNoneAreIgnored) {
  NeighbourSeeds seeds;
  for (const std::size_t n : {3, 2, 5, 4, 40}) {
    const std::vector<float> points = cloud(n, {1, 2, 3}, static_cast<unsigned>(n));
    std::vector<float> seeded(n);
    mean_squared_neighbour_distance(points.data(), static_cast<std::int64_t>(n), seeded.data(), &seeds);
    EXPECT_EQ(measured(points), seeded) << n;
    mean_squared_neighbour_distance(points.data(), static_cast<std::int64_t>(n), seeded.data(), &seeds);
    EXPECT_EQ(measured(points), seeded) << n;
  }
}

TEST(Neighbours, SquareCornersAndTinySets) {  // section 17
  const std::vector<float> square = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0};
  for (const float d : measured(square)) EXPECT_FLOAT_EQ(d, 4.0F / 3);
  EXPECT_FLOAT_EQ(measured({square.begin(), square.begin() + 9})[0], 1.0F);         // (1 + 2 + 0) / 3
  EXPECT_FLOAT_EQ(measured({square.begin(), square.begin() + 6})[0], 1.0F / 3);
  EXPECT_EQ(measured({square.begin(), square.begin() + 3})[0], 0.0F);
  mean_squared_neighbour_distance(square.data(), 0, nullptr);
}

TEST(Neighbours, WhatIsNotFiniteSpoilsAll) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e20F}) {
    std::vector<float> points = cloud(50, {1, 1, 1}, 9);
    points[70] = bad;
    for (const float d : measured(points)) EXPECT_TRUE(std::isnan(d)) << bad;
  }
}

}  // namespace
}  // namespace layeravatar::deform
