// What a random person looks like, and how it stands.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/people/person.h"
#include "layeravatar/people/recolour.h"

namespace layeravatar::people {

/// What a person looks like beside their shape; textures are paths below the package's public/data.
struct PersonLook {
  PersonChoice choice;
  std::string skin, eyes, eyebrows;
  std::array<float, 3> skin_tone{1, 1, 1};  // factors
  std::array<float, 3> underwear{};         // colour 0..1
  Recolour iris, top, bottom, shoes, hair;
};

/// The same seed gives the same person and pose on every platform. The skin is a photograph of the shape's main race,
/// age group and sex.
PersonLook sample_look(std::uint64_t seed, const std::filesystem::path& package);

/// Standing, arms lowered or somewhat raised, with small joint-limited variation. Betas are zero, transl canonical.
body::PoseParams sample_pose(std::uint64_t seed);

}  // namespace layeravatar::people
