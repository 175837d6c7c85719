#include "layeravatar/people/person_look.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/people/draw.h"

namespace layeravatar::people {
namespace {

constexpr const char* kEyes[] = {"blue_eye",  "bluegreen_eye", "brown_eye", "brownlight_eye", "deepblue_eye",
                                 "green_eye", "grey_eye",      "ice_eye",   "lightblue_eye"};

// Natural hair colours: black, dark brown, brown, chestnut, auburn, blond, light blond, grey, white.
constexpr std::array<std::array<double, 3>, 9> kHairColours = {{{0.07, 0.06, 0.06},
                                                                {0.17, 0.11, 0.08},
                                                                {0.28, 0.18, 0.11},
                                                                {0.36, 0.21, 0.12},
                                                                {0.42, 0.20, 0.10},
                                                                {0.62, 0.47, 0.27},
                                                                {0.74, 0.61, 0.41},
                                                                {0.45, 0.44, 0.43},
                                                                {0.70, 0.69, 0.67}}};

std::array<double, 3> garment_colour(Draw& draw) {
  const double hue = 6 * draw.uniform(0, 1);
  const double saturation = draw.uniform(0, 1) < 0.35 ? draw.uniform(0, 0.12) : draw.uniform(0.3, 0.8);
  const double value = draw.uniform(0.15, 0.85);
  std::array<double, 3> out{};
  for (std::size_t k = 0; k < 3; ++k) {
    const double k6 = std::fmod(5 - 2 * static_cast<double>(k) + hue, 6.0);
    out[k] = value * (1 - saturation * std::max(0.0, std::min({k6, 4 - k6, 1.0})));
  }
  return out;
}

Recolour sample_garment_colour(Draw& draw) {
  Recolour out;
  const double kind = draw.uniform(0, 1);
  out.turn = draw.uniform(0.1, 0.9);
  out.saturation = draw.uniform(0.6, 1.4);
  out.value = draw.uniform(0.7, 1.0);
  out.tint = garment_colour(draw);
  out.contrast = draw.uniform(0.6, 1.0);
  out.kind = kind < 0.25 ? Recolour::Kind::kKeep : kind < 0.5 ? Recolour::Kind::kHue : Recolour::Kind::kTint;
  return out;
}

// Textures of one of the package's folders, by name.
std::vector<std::string> png_files(const std::filesystem::path& data, const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(data / folder, error))
    if (entry.path().extension() == ".png" && entry.path().string().find("special_suit") == std::string::npos)
      out.push_back(folder + "/" + entry.path().filename().string());
  if (out.empty()) throw Error(ErrorKind::kInput, (data / folder).string() + ": no textures found");
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

PersonLook sample_look(std::uint64_t seed, const std::filesystem::path& package) {
  PersonLook out;
  out.choice = sample_person(seed);
  // Statures of 1.42 to 1.94 m: what lies outside fits into no picture of 2.05 m with arms and shoes.
  out.choice.shape.height = std::clamp(0.5 + 0.7 * (out.choice.shape.height - 0.5), 0.36, 0.6);
  Draw draw(seed ^ 0xA5A5A5A5DEADBEEFULL);
  const auto& shape = out.choice.shape;
  const char* age = shape.age < 0.64 ? "young" : shape.age < 0.8 ? "middleage" : "old";
  const auto race =
      static_cast<std::size_t>(std::max_element(shape.race.begin(), shape.race.end()) - shape.race.begin());
  constexpr const char* kRaces[] = {"african", "asian", "caucasian"};
  const std::string skin =
      fmt::format("skins/{}_{}_{}/textures", age, kRaces[race], shape.gender < 0.5 ? "female" : "male");
  const auto skins = png_files(package / "public/data", skin);
  out.skin = skins[draw.index(skins.size())];
  const bool dark_eyes = race != 2;
  out.eyes = dark_eyes ? (draw.uniform(0, 1) < 0.7 ? "brown_eye" : "brownlight_eye") : draw.pick(kEyes);
  // The textures are vivid and the browns reddish.
  out.iris = {Recolour::Kind::kHue, out.eyes.starts_with("brown") ? 0.05 : 0.0, 0.55, 0.93, {}, 1};
  out.eyebrows = fmt::format("eyebrow{:03}", 1 + draw.index(12));
  const double grey = draw.uniform(0.1, 0.9);
  constexpr std::array<std::array<double, 3>, 3> kUnderwear = {{{1, 1, 1}, {0.35, 0.42, 0.55}, {0.55, 0.4, 0.4}}};
  const auto& cloth = kUnderwear[draw.index(kUnderwear.size())];
  for (std::size_t k = 0; k < 3; ++k) out.underwear[k] = static_cast<float>(std::min(1.0, grey * cloth[k]));
  out.top = sample_garment_colour(draw);
  out.bottom = sample_garment_colour(draw);
  out.shoes = sample_garment_colour(draw);
  if (out.shoes.kind == Recolour::Kind::kTint)
    for (double& x : out.shoes.tint) x *= 0.6;
  std::size_t colour = race == 2 ? draw.index(7) : draw.index(race == 1 ? 3 : 2);
  if (shape.age > 0.78 && draw.uniform(0, 1) < 0.6) colour = 7 + draw.index(2);
  out.hair = {Recolour::Kind::kTint, 0, 1, 1, kHairColours[colour], 0.6};
  const double lightness = draw.uniform(0.86, 1.06), warmth = draw.uniform(-0.04, 0.04);
  for (std::size_t k = 0; k < 3; ++k)
    out.skin_tone[k] = static_cast<float>(lightness * (1 + warmth * (1 - static_cast<double>(k))));
  return out;
}

body::PoseParams sample_pose(std::uint64_t seed) {
  Draw draw(seed ^ 0x0B0D7F0E5EEDULL);
  body::PoseParams p = body::default_viewing_pose();
  const auto turn = [&](int joint, int axis, double deviation, double limit) {
    p.body_pose[static_cast<std::size_t>(3 * (joint - 1) + axis)] +=
        static_cast<float>(draw.normal(0, deviation, -limit, limit));
  };
  const double lift = draw.uniform(-0.35, 0.5);  // both arms together, radians
  p.body_pose[47] += static_cast<float>(lift);
  p.body_pose[50] -= static_cast<float>(lift);
  for (const int side : {0, 1}) {
    const double sign = side == 0 ? 1 : -1;
    turn(16 + side, 2, 0.10, 0.2);
    turn(16 + side, 1, 0.18, 0.4);
    turn(16 + side, 0, 0.12, 0.3);
    // Elbows bend forwards only: about -y on the left, +y on the right.
    p.body_pose[static_cast<std::size_t>(3 * (17 + side) + 1)] -=
        static_cast<float>(sign * std::abs(draw.normal(0.0, 0.35, -0.9, 0.9)));
    turn(20 + side, 0, 0.10, 0.25);
    turn(20 + side, 2, 0.10, 0.25);
    turn(1 + side, 0, 0.12, 0.3);
    p.body_pose[static_cast<std::size_t>(3 * side + 2)] +=
        static_cast<float>(sign * draw.uniform(-0.01, 0.12));  // legs apart
    p.body_pose[static_cast<std::size_t>(3 * (3 + side))] +=
        static_cast<float>(std::abs(draw.normal(0, 0.12, -0.4, 0.4)));  // knees
    auto& hand = side == 0 ? p.left_hand : p.right_hand;
    const double curl = draw.uniform(0.0, 0.5);
    for (std::size_t finger = 0; finger < 4; ++finger)
      for (std::size_t k = 0; k < 3; ++k) hand[9 * finger + 3 * k + 2] = static_cast<float>(-sign * curl);
  }
  for (const int joint : {3, 6, 9}) {
    turn(joint, 0, 0.05, 0.12);
    turn(joint, 1, 0.08, 0.2);
    turn(joint, 2, 0.04, 0.1);
  }
  turn(12, 1, 0.1, 0.25);
  turn(15, 0, 0.08, 0.2);
  turn(15, 1, 0.12, 0.3);
  p.scale = 1.0F;
  return p;
}

}  // namespace layeravatar::people
