// Exact nearest neighbours of points in a set.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace layeravatar::avatar {

/// For each of the queries [Q, 3] the index of the nearest of the points [P, 3], P > 0; squared distances are compared
/// in double, and among equal ones the lowest index wins.
std::vector<std::int32_t> nearest_points(std::span<const float> points, std::span<const float> queries);

/// For each query the indices of the `count` nearest, the nearest first and the lower index of equals: [Q, count]; -1 where
/// there are fewer points.
std::vector<std::int32_t> nearest_points(std::span<const float> points, std::span<const float> queries, std::int64_t count);

}  // namespace layeravatar::avatar
