// From projected Gaussians to the list of each tile: by depth, equal depths by index. Both sorts are stable, so that the
// lists do not depend on the number of parts, one for each thread.
#include <algorithm>
#include <bit>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <omp.h>

#include "layeravatar/core/error.h"
#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/splat/kernels/splat_steps.h"

namespace layeravatar::splat {
namespace {

constexpr std::int64_t kChunk = 2048;     // Gaussians
constexpr std::int64_t kLeastPart = 4096;  // sorted entries that are worth a thread
constexpr std::size_t kAhead = 24;        // entries
constexpr std::size_t kAheadInList = 8;   // pairs of one tile
constexpr int kDigit = 11;  // bits
constexpr std::size_t kDigits = std::size_t{1} << kDigit;

struct Key {
  std::uint32_t bits, index;  // of the depth: positive floats sort as their bits
};

// What one chunk adds to the whole.
struct Tally {
  std::uint32_t visible = 0, least = std::numeric_limits<std::uint32_t>::max(), most = 0;
  std::size_t slots = 0;
  bool present = false;  // counts even when no pixel sees it
  std::array<bool, kComponents> component_present{};
};

std::size_t pairs_of(const SplatTiles& p) {
  return static_cast<std::size_t>(p.x1 - p.x0) * static_cast<std::size_t>(p.y1 - p.y0);
}

Tally tally_chunk(const SplatInput& in, const SplatScratch& scratch, std::int64_t begin, std::int64_t end) {
  Tally out;
  for (std::int64_t i = begin; i < end; ++i) {
    const SplatTiles& p = scratch.places[static_cast<std::size_t>(i)];
    if (in.opacities[i] > in.min_opacity) {
      out.present = true;
      if (p.component < kComponents) out.component_present[p.component] = true;
    }
    if (!p.visible) continue;
    const auto bits = std::bit_cast<std::uint32_t>(scratch.splats[static_cast<std::size_t>(i)].depth);
    out.least = std::min(out.least, bits);
    out.most = std::max(out.most, bits);
    ++out.visible;
    out.slots += pairs_of(p);
  }
  return out;
}

// Part k of `parts` equal ones.
std::pair<std::size_t, std::size_t> part_of(std::size_t count, std::size_t k, std::size_t parts) {
  return {count * k / parts, count * (k + 1) / parts};
}

// Turns counts [parts][bins] into where each part's entries of each bin begin.
void places_from_counts(std::uint32_t* counts, std::size_t parts, std::size_t bins, std::uint32_t* bin_start) {
  std::uint32_t sum = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    if (bin_start != nullptr) bin_start[b] = sum;
    for (std::size_t k = 0; k < parts; ++k) sum += std::exchange(counts[k * bins + b], sum);
  }
  if (bin_start != nullptr) bin_start[bins] = sum;
}

// Stable; `least` and `most` bound the bits, so that close depths need few digits.
PooledArray<Key> sort_keys(PooledArray<Key> keys, std::uint32_t least, std::uint32_t most, std::size_t parts) {
  PooledArray<Key> other(keys.size());
  const PooledArray<std::uint32_t> counts(parts * kDigits);
  for (int shift = 0; shift == 0 || (shift < 32 && (most - least) >> shift != 0); shift += kDigit) {
    const auto digit = [&](const Key& k) { return ((k.bits - least) >> shift) & (kDigits - 1); };
    std::fill(counts.begin(), counts.end(), 0U);
#pragma omp parallel for schedule(static)
    for (std::size_t k = 0; k < parts; ++k) {
      const auto [begin, end] = part_of(keys.size(), k, parts);
      std::uint32_t* count = counts.data() + k * kDigits;
      for (std::size_t i = begin; i < end; ++i) ++count[digit(keys[i])];
    }
    places_from_counts(counts.data(), parts, kDigits, nullptr);
#pragma omp parallel for schedule(static)
    for (std::size_t k = 0; k < parts; ++k) {
      const auto [begin, end] = part_of(keys.size(), k, parts);
      std::uint32_t* next = counts.data() + k * kDigits;
      for (std::size_t i = begin; i < end; ++i) other[next[digit(keys[i])]++] = keys[i];
    }
    std::swap(keys, other);
  }
  return keys;
}

const SplatTiles& tiles_of(const SplatScratch& scratch, std::span<const Key> keys, std::size_t k) {
  __builtin_prefetch(&scratch.places[keys[std::min(k + kAhead, keys.size() - 1)].index]);
  return scratch.places[keys[k].index];
}

// How many of the splats touch each tile: what changes [tiles_y + 1, tiles_x + 1] from tile to tile, summed up along rows and columns.
void count_pairs(const SplatScratch& scratch, std::span<const Key> keys, std::uint32_t* changes, std::uint32_t* counts) {
  const std::size_t columns = static_cast<std::size_t>(scratch.tiles_x), pitch = columns + 1;
  std::fill_n(changes, pitch * static_cast<std::size_t>(scratch.tiles_y + 1), 0U);
  for (std::size_t k = 0; k < keys.size(); ++k) {
    const SplatTiles& p = tiles_of(scratch, keys, k);
    std::uint32_t *top = changes + static_cast<std::size_t>(p.y0) * pitch, *bottom = changes + static_cast<std::size_t>(p.y1) * pitch;
    ++top[p.x0], --top[p.x1], --bottom[p.x0], ++bottom[p.x1];
  }
  for (std::size_t y = 0; y < static_cast<std::size_t>(scratch.tiles_y); ++y) {
    std::uint32_t sum = 0;
    for (std::size_t x = 0; x < columns; ++x) {
      sum += changes[y * pitch + x];
      counts[y * columns + x] = sum + (y > 0 ? counts[(y - 1) * columns + x] : 0);
    }
  }
}

// Writes the splats' pairs to the tiles' lists, of which next[tile] is the next free place.
void list_pairs(const SplatScratch& scratch, std::span<const Key> keys, std::uint32_t* next) {
  for (std::size_t k = 0; k < keys.size(); ++k) {
    const SplatTiles& p = tiles_of(scratch, keys, k);
    // One loop, whose end is the only hard branch.
    const std::int64_t width = p.x1 - p.x0, pairs = static_cast<std::int64_t>(pairs_of(p));
    std::uint32_t* tile = next + std::int64_t{p.y0} * scratch.tiles_x + p.x0;
    std::int64_t left = width;
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
      SplatPair* to = scratch.pairs.data() + (*tile)++;
      __builtin_prefetch(to + kAheadInList, 1);
      *to = {keys[k].index, p.first_slot + static_cast<std::uint32_t>(pair), 0, p.component};
      const bool row_ends = --left == 0;
      tile += row_ends ? scratch.tiles_x - width + 1 : 1;
      left = row_ends ? width : left;
    }
  }
}

}  // namespace

void project_and_sort(const SplatInput& in, SplatScratch& scratch) {
  scratch.tiles_x = (in.view.width + kTile - 1) / kTile;
  scratch.tiles_y = (in.view.height + kTile - 1) / kTile;
  const auto n = static_cast<std::size_t>(in.count);
  scratch.splats = PooledArray<ProjectedSplat>(n);
  scratch.places = PooledArray<SplatTiles>(n);
  const std::int64_t chunks = (in.count + kChunk - 1) / kChunk;
  std::vector<Tally> tallies(static_cast<std::size_t>(chunks));
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < chunks; ++c) {
    const std::int64_t begin = c * kChunk, end = std::min(in.count, begin + kChunk);
    project(in, scratch, begin, end);
    tallies[static_cast<std::size_t>(c)] = tally_chunk(in, scratch, begin, end);
  }
  // From here on `visible` and `slots` of a chunk are those before it.
  Tally all;
  for (Tally& t : tallies) {
    all.present |= t.present;
    for (std::size_t k = 0; k < kComponents; ++k) all.component_present[k] |= t.component_present[k];
    all.least = std::min(all.least, t.least);
    all.most = std::max(all.most, t.most);
    t.visible = std::exchange(all.visible, all.visible + t.visible);
    t.slots = std::exchange(all.slots, all.slots + t.slots);
  }
  scratch.empty = !all.present;
  for (std::size_t k = 0; k < kComponents; ++k) scratch.component_empty[k] = !all.component_present[k];
  LAV_CHECK(all.slots < std::numeric_limits<std::uint32_t>::max(), "too many Gaussians for the size of the image");

  PooledArray<Key> keys(all.visible);
#pragma omp parallel for schedule(static)
  for (std::int64_t c = 0; c < chunks; ++c) {
    const auto begin = static_cast<std::size_t>(c * kChunk), end = std::min(n, begin + static_cast<std::size_t>(kChunk));
    std::uint32_t at = tallies[static_cast<std::size_t>(c)].visible;
    auto slot = static_cast<std::uint32_t>(tallies[static_cast<std::size_t>(c)].slots);
    for (std::size_t i = begin; i < end; ++i) {
      SplatTiles& p = scratch.places[i];
      if (!p.visible) continue;
      p.first_slot = slot;
      slot += static_cast<std::uint32_t>(pairs_of(p));
      keys[at++] = {std::bit_cast<std::uint32_t>(scratch.splats[i].depth), static_cast<std::uint32_t>(i)};
    }
  }
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  const std::size_t parts = std::clamp<std::size_t>(all.visible / kLeastPart, 1, threads);
  keys = sort_keys(std::move(keys), all.least, all.most, parts);

  const auto tiles = static_cast<std::size_t>(scratch.tiles_x) * static_cast<std::size_t>(scratch.tiles_y);
  const std::size_t corners = static_cast<std::size_t>(scratch.tiles_x + 1) * static_cast<std::size_t>(scratch.tiles_y + 1);
  const PooledArray<std::uint32_t> counts(parts * tiles), changes(parts * corners);
  const auto part = [&](std::size_t k) {
    const auto [begin, end] = part_of(keys.size(), k, parts);
    return std::span<const Key>(keys.data() + begin, end - begin);
  };
#pragma omp parallel for schedule(static)
  for (std::size_t k = 0; k < parts; ++k) count_pairs(scratch, part(k), changes.data() + k * corners, counts.data() + k * tiles);
  scratch.tile_start = PooledArray<std::uint32_t>(tiles + 1);
  places_from_counts(counts.data(), parts, tiles, scratch.tile_start.data());
  scratch.pairs = PooledArray<SplatPair>(all.slots);
#pragma omp parallel for schedule(static)
  for (std::size_t k = 0; k < parts; ++k) list_pairs(scratch, part(k), counts.data() + k * tiles);
}

}  // namespace layeravatar::splat
