// Random clothed people as training scenes and as a contact sheet.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "layeravatar/io/png.h"
#include "layeravatar/people/dressed_person.h"

namespace layeravatar::data {

struct MakePeopleOptions {
  int count = 128;
  std::uint64_t seed = 1;  // person i has seed + i
  int image_size = 512;
  int supersample = 2;
};

/// Writes scenes <out>/0000000, ... by seed. Scenes that are already there are kept. `progress(done, total)` may be empty.
void make_people(people::Wardrobe& wardrobe, const std::filesystem::path& out, const MakePeopleOptions& options,
                 const std::function<void(int, int)>& progress = {});

/// One column per person: front, back and labels, `size` pixels each.
io::Image people_sheet(people::Wardrobe& wardrobe, std::uint64_t seed, int count, int size);

/// The colour in which pictures show a label: 0 white, then body, top, hair, shoes, bottom.
std::array<std::uint8_t, 3> label_colour(int label);

}  // namespace layeravatar::data
