#include "layeravatar/avatar/neighbour_tables.h"

#include "layeravatar/avatar/kernels/nearest_kernel.h"

namespace layeravatar::avatar {
namespace {

// Ids, and their places one after another.
struct Group {
  std::vector<std::int64_t> ids;
  std::vector<float> places;
};

Group with_label(const templates::LayeredTemplate& layers, const std::vector<float>& rest, std::int32_t label) {
  Group out;
  for (std::size_t i = 0; i < layers.labels.size(); ++i) {
    if (layers.labels[i] != label) continue;
    out.ids.push_back(static_cast<std::int64_t>(i));
    out.places.insert(out.places.end(), {rest[3 * i], rest[3 * i + 1], rest[3 * i + 2]});
  }
  return out;
}

// [Q][count] ids of the candidates nearest to each query, the query itself left out; its own id where there are too few.
std::vector<std::int64_t> nearest(const Group& queries, const Group& candidates, std::int64_t count) {
  const std::vector<std::int32_t> found = nearest_points(candidates.places, queries.places, count + 1);
  std::vector<std::int64_t> out;
  for (std::size_t q = 0; q < queries.ids.size(); ++q) {
    std::int64_t left = count;
    for (std::size_t k = 0; k < static_cast<std::size_t>(count + 1) && left > 0; ++k) {
      const std::int32_t place = found[q * static_cast<std::size_t>(count + 1) + k];
      if (place < 0 || candidates.ids[static_cast<std::size_t>(place)] == queries.ids[q]) continue;
      out.push_back(candidates.ids[static_cast<std::size_t>(place)]);
      --left;
    }
    out.insert(out.end(), static_cast<std::size_t>(left), queries.ids[q]);
  }
  return out;
}

}  // namespace

SkinPairs skin_pairs(const templates::LayeredTemplate& layers, bool shoes) {
  const std::vector<float> positions = layers.shifted_positions();
  const auto body = static_cast<std::size_t>(layers.body_count());
  SkinPairs out;
  std::vector<float> queries;
  for (std::size_t i = body; i < layers.labels.size(); ++i) {
    if (!shoes && layers.labels[i] == 4) continue;
    out.outer.push_back(static_cast<std::int64_t>(i));
    queries.insert(queries.end(), {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]});
  }
  if (body > 0)
    for (const std::int32_t b : nearest_points({positions.data(), 3 * body}, queries)) out.skin.push_back(b);
  else
    out.outer.clear();
  for (std::size_t k = 0; k < out.skin.size(); ++k) {
    const auto i = static_cast<std::size_t>(out.outer[k]), b = static_cast<std::size_t>(out.skin[k]);
    float along = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const float n = layers.frames[9 * b + 3 * axis + 2];
      out.normals.push_back(n);
      along += n * (positions[3 * i + axis] - positions[3 * b + axis]);
    }
    out.rest.push_back(along);
  }
  return out;
}

OuterNeighbours outer_neighbours(const templates::LayeredTemplate& layers) {
  const std::vector<float> rest = layers.shifted_positions();
  const Group body = with_label(layers, rest, 1);
  OuterNeighbours out;
  for (const std::int32_t label : {2, 3, 4, 5}) {
    const Group own = with_label(layers, rest, label);
    const std::vector<std::int64_t> beside = nearest(own, own, kOfComponent), below = nearest(own, body, kOfBody);
    for (std::size_t i = 0; i < own.ids.size(); ++i) {
      out.outer.push_back(own.ids[i]);
      const auto append = [&](const std::vector<std::int64_t>& from, std::int64_t count) {
        const auto first = from.begin() + static_cast<std::ptrdiff_t>(i) * count;
        out.neighbours.insert(out.neighbours.end(), first, first + count);
      };
      append(beside, kOfComponent);
      append(below, kOfBody);
    }
  }
  return out;
}

NeighbourTables neighbour_tables(const templates::LayeredTemplate& layers) { return {skin_pairs(layers, false), outer_neighbours(layers)}; }

}  // namespace layeravatar::avatar
