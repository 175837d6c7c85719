// Random clothed people as training scenes and as contact sheets.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/dataset.h"
#include "layeravatar/io/png.h"
#include "layeravatar/people/dressed_person.h"

namespace layeravatar::data {

struct MakePeopleOptions {
  int count = 128;
  std::uint64_t seed = 1;  // person i has seed + i
  int image_size = 512;
  int supersample = 2;
  std::vector<body::PoseParams> poses;  // bases of people::sample_upright_pose; empty: people::sample_pose
};

/// Writes scenes <out>/0000000, ... by seed, 54 views each, and what is known of these people into <out>/attributes.json. Complete scenes that are already there are kept, so that an
/// interrupted call can be repeated; see scene_is_complete for what it says of damaged ones. `progress(done, total)`
/// may be empty. Throws Error(kConfig) for a setting out of range.
void make_people(people::Wardrobe& wardrobe, const std::filesystem::path& out, const MakePeopleOptions& options,
                 const std::function<void(int, int)>& progress = {});

/// One cell per person: front, back and labels, each `size` pixels high; rows of `columns` people. `poses` as above.
io::Image people_sheet(people::Wardrobe& wardrobe, std::uint64_t seed, int count, int size, int columns = 8,
                       const std::vector<body::PoseParams>& poses = {});

/// The same of the first `count` scenes of a dataset, whose views 000_001 and 180_001 it shows. `size` divides the
/// data's. Throws Error(kConfig) when a view is missing.
io::Image dataset_sheet(const Dataset& dataset, int count, int size, int columns = 8);

/// The colour in which pictures show a label: 0 white, then body, top, hair, shoes, bottom.
std::array<std::uint8_t, 3> label_colour(int label);

}  // namespace layeravatar::data
